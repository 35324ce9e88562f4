//! The [`Transport`] contract, by which requests are sent and responses received, and its implementations.
//!
//! [`HyperTransport`] is the default; with the feature `reqwest` there is one over a `reqwest::Client`.

mod connect;
mod hyper;
mod persistent;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;

use crate::error::BoxError;

pub use self::connect::{Io, Target};
pub use self::hyper::HyperTransport;
pub use self::persistent::PersistentConnection;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestTransport;

/// The future of a response's head. Dropping it closes the connection, or resets the stream in HTTP/2.
pub type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send>>;

/// Sends requests, one at a time for each source.
///
/// The contract:
///
/// - The request's URL is absolute, its header fields are complete but for `Host`, and it is sent as it is: no
///   redirect is followed, nothing is tried again, no body is decompressed, no header field is added that holds a secret.
///   A transport that followed redirects would send credentials to other origins.
/// - The future completes when the head of the final response is there. The body yields bytes as they arrive; it
///   fails unless it ends as its framing says (the last chunk, the announced length), so that a torn stream can be told
///   from a finished one.
/// - Dropping the future or the body closes the connection, or gives it up in HTTP/2, at once.
/// - No time limits are needed: the source has its own.
/// - Memory: what a transport reads ahead while its body is not polled must be bounded.
///
/// ```
/// use bellwether_client::transport::{Body, ResponseFuture, Transport};
/// use bytes::Bytes;
/// use http::{Request, Response};
///
/// struct Canned;
///
/// impl Transport for Canned {
///     fn send(&self, _: Request<Bytes>) -> ResponseFuture {
///         Box::pin(async {
///             let body = http_body_util::Full::new(Bytes::from("data: canned\n\n"));
///             let mut response = Response::new(Body::new(body));
///             let stream = http::HeaderValue::from_static("text/event-stream");
///             response.headers_mut().insert("content-type", stream);
///             Ok(response)
///         })
///     }
/// }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Sends one request.
    fn send(&self, request: Request<Bytes>) -> ResponseFuture;
}

/// The body of a response, of whatever transport.
pub struct Body(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>);

impl Body {
    /// Takes a body of any type with `Bytes` as data.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Box::pin(http_body_util::BodyExt::map_err(body, Into::into)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// The reason why there is no response, or why its body broke off.
///
/// ```
/// use bellwether_client::transport::TransportError;
///
/// let passing = TransportError::new("connection refused");
/// let lasting = TransportError::permanent("no such scheme");
/// assert!(!passing.to_string().is_empty() && !lasting.to_string().is_empty());
/// ```
#[derive(Debug)]
pub struct TransportError {
    source: BoxError,
    is_final: bool,
    is_cut: bool,
}

impl TransportError {
    /// A failure that may pass: the source reconnects. Every failure of an open stream is one of these.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self {
            source: source.into(),
            is_final: false,
            is_cut: false,
        }
    }

    /// A failure that stays, for instance a scheme that the transport does not support: the source ends.
    pub fn permanent(source: impl Into<BoxError>) -> Self {
        Self {
            is_final: true,
            ..Self::new(source)
        }
    }

    /// The end of a body that is not its end.
    pub(crate) fn cut(source: BoxError) -> Self {
        Self {
            is_cut: true,
            ..Self::new(source)
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Our messages for the two cases differ in nothing else, so the text is the source's own.
        fmt::Display::fmt(&self.source, f)
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
