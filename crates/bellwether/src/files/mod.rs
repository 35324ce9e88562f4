//! Static files: a directory served as a web site, under a policy that keeps the rest of the disk out.
//!
//! tower-http's `ServeDir` does what a file server does (types, ranges, validators, `index.html`).
//! This module decides what it may see. [`path`] refuses a request path by its text alone;
//! [`confined`] opens files and refuses by where they really are, after every symlink. Both must
//! agree before a byte is read, and each refusal looks like a file that is not there.
//!
//! Policy, beyond that:
//!
//! - `GET` and `HEAD` only; another method is a 405 where a file is and a 404 where none is.
//! - No listing of directories; `index.html` answers for them.
//! - No dotfiles: `.env` and `.git` end up in served directories by accident. A `.well-known`
//!   page needs a route of its own.
//! - `Cache-Control: no-cache` with an `ETag`: a browser keeps the file but asks before each use and
//!   mostly gets an empty 304. A fixed age would save that question and, after a deploy, run an
//!   old script against a new page until it is over.
//! - `X-Content-Type-Options: nosniff`, and `Content-Disposition: attachment` for a type unknown by its
//!   extension: a file that was not declared a page must not become one in a browser.
//! - Text is declared as UTF-8, which it is taken for nowhere unless said.

mod confined;
mod path;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use tower::{Service, ServiceExt};
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use confined::Confined;

/// A service that answers with the files below `root`, for the fallback of a router.
///
/// `root` is resolved here, once, against the current directory and through its symlinks: a later
/// change of either does not move what is served.
///
/// # Errors
///
/// `root` cannot be read or is not a directory. The message names it as given and as an absolute
/// path, since a relative one depends on where the program was started.
pub(crate) fn serve_files(root: &Path) -> Result<Files, FilesError> {
    let refused = |source| FilesError {
        given: root.to_owned(),
        absolute: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
        source,
    };
    let real = root.canonicalize().map_err(refused)?;
    if !real.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    std::fs::read_dir(&real).map_err(refused)?;
    let directory = ServeDir::with_backend(&real, Confined::new(real.clone()))
        .ignore_multi_range_requests(true);
    Ok(Files {
        directory,
        otherwise: None,
    })
}

/// The service that [`serve_files`] makes.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: ServeDir<DefaultServeDirFallback, Confined>,
    /// What answers where no file is.
    otherwise: Option<Router>,
}

impl Files {
    /// Leaves requests for which there is no file to `router`. It must have no route for them, so that its fallback
    /// answers.
    pub(crate) fn or_fallback_of(mut self, router: Router) -> Self {
        self.otherwise = Some(router);
        self
    }

    async fn answer(self, method: Method, request: Request<Body>) -> Response {
        // The question is a request of its own, because the body of this one belongs to the fallback.
        let response = if path::is_servable(request.uri().path()) {
            file(self.directory, &method, plain(&method, &request)).await
        } else {
            StatusCode::NOT_FOUND.into_response()
        };
        let Some(fallback) = self.otherwise else {
            return response;
        };
        if response.status() != StatusCode::NOT_FOUND {
            return response;
        }
        match fallback.oneshot(request).await {
            Ok(response) => response,
            Err(infallible) => match infallible {},
        }
    }
}

impl Service<Request<Body>> for Files {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let files = self.clone();
        Box::pin(async move { Ok(files.answer(request.method().clone(), request).await) })
    }
}

/// The answer of the directory alone.
async fn file(
    directory: ServeDir<DefaultServeDirFallback, Confined>,
    method: &Method,
    plain: Request<Body>,
) -> Response {
    let is_read = method == Method::GET || method == Method::HEAD;
    let response = match directory.oneshot(plain).await {
        Ok(response) => response.map(Body::new),
        Err(infallible) => match infallible {},
    };
    if !is_read {
        return not_allowed(response.status());
    }
    with_policy_headers(response)
}

/// The request as the directory gets it: method, path and the conditions, nothing else.
fn plain(method: &Method, request: &Request<Body>) -> Request<Body> {
    let mut plain = Request::new(Body::empty());
    // A method that only asks whether the file is there must not open it.
    *plain.method_mut() = if *method == Method::GET {
        Method::GET
    } else {
        Method::HEAD
    };
    // Without scheme and authority: a redirect to `directory/` then stays on this server,
    // whatever host the request line named.
    if let Some(path) = request.uri().path_and_query() {
        *plain.uri_mut() = Uri::from(path.clone());
    }
    *plain.headers_mut() = request.headers().clone();
    // `ServeDir` ignores `If-Range`, so it would join a part of the new file to one of the old. The
    // whole file is always a right answer (RFC 9110, section 14.2).
    if plain.headers().contains_key(header::IF_RANGE) {
        plain.headers_mut().remove(header::RANGE);
    }
    plain
}

/// The answer to a method that is not `GET` or `HEAD`, given what `HEAD` would have got.
fn not_allowed(head: StatusCode) -> Response {
    if head == StatusCode::NOT_FOUND {
        return head.into_response();
    }
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(header::ALLOW, "GET, HEAD")],
    )
        .into_response()
}

/// Adds the headers of the policy.
fn with_policy_headers(mut response: Response) -> Response {
    let is_file = response.status().is_success();
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !is_file {
        return response;
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match content_type {
        None | Some("application/octet-stream") => {
            headers.insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("attachment"),
            );
        }
        Some(text) if text.starts_with("text/") && !text.contains("charset") => {
            if let Ok(value) = HeaderValue::from_str(&format!("{text}; charset=utf-8")) {
                headers.insert(header::CONTENT_TYPE, value);
            }
        }
        Some(_) => {}
    }
    response
}

/// The directory to serve cannot be served.
#[derive(Debug)]
pub(crate) struct FilesError {
    given: PathBuf,
    absolute: PathBuf,
    source: io::Error,
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            given, absolute, ..
        } = self;
        write!(
            f,
            "serve files from {given:?}: no readable directory at {}",
            absolute.display()
        )
    }
}

impl StdError for FilesError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests;
