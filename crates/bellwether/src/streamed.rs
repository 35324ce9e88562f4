//! A response whose body is a stream of bytes of any content type.
//!
//! Event streams have their own response with keep-alive, drain and resume. This is for the rest:
//! a CSV file that is written while it is sent, lines of JSON, a file from elsewhere.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use pin_project_lite::pin_project;

use crate::http_error::HttpError;

/// A response that sends a stream of chunks as its body, as they come.
///
/// # Shape
///
/// Items are `Bytes`, `String`, `Vec<u8>`, `&'static str` or `&'static [u8]`, or a `Result` of one
/// of those. Nothing is added to or taken from the bytes. An empty item is skipped; it does not end
/// the body.
///
/// # Defaults
///
/// Status 200 and `X-Content-Type-Options: nosniff`. No content length, so HTTP/1.1 sends chunks.
/// Nothing is buffered beyond the item in hand: the stream is asked for more only when the
/// connection has room.
///
/// # Errors
///
/// An `Err` item, or a panic of the stream, is logged and cuts the body, so that the client can
/// tell it from a complete one. The head is out by then: its status stays.
///
/// # Cancellation
///
/// When the client leaves, the stream is dropped where it stands.
///
/// # Example
///
/// ```
/// use axum::response::IntoResponse;
/// use bellwether::{StreamedContent, stream};
/// use http_body_util::BodyExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bellwether::BoxError> {
/// let rows = stream!(
///     yield "name,price\n".to_owned();
///     yield String::new();
///     yield format!("tea,{}\n", 4);
/// );
/// let response = StreamedContent::new("text/csv; charset=utf-8", rows)
///     .header("content-disposition", "attachment; filename=\"prices.csv\"")
///     .into_response();
///
/// assert_eq!(response.status(), 200);
/// let body = response.into_body().collect().await?.to_bytes();
/// assert_eq!(body, "name,price\ntea,4\n");
/// # Ok(())
/// # }
/// ```
#[must_use = "a response does nothing unless a handler returns it"]
pub struct StreamedContent<S> {
    stream: S,
    status: StatusCode,
    headers: HeaderMap,
    /// What was wrong with a header that was given; such a response is answered with 500.
    invalid: Option<String>,
}

impl<S> StreamedContent<S>
where
    S: Stream + Send + 'static,
    S::Item: Chunk,
{
    /// A response of this content type with the stream's items as its body.
    ///
    /// A content type that is no valid header value turns the response into a 500.
    pub fn new<V>(content_type: V, stream: S) -> Self
    where
        V: TryInto<HeaderValue>,
        V::Error: fmt::Display,
    {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        Self {
            stream,
            status: StatusCode::OK,
            headers,
            invalid: None,
        }
        .header(header::CONTENT_TYPE, content_type)
    }

    /// HTTP status of the response. Default: 200.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Header of the response. It replaces one of the same name.
    ///
    /// A name or value that HTTP does not allow turns the response into a 500 whose details name it.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: fmt::Display,
        V: TryInto<HeaderValue>,
        V::Error: fmt::Display,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            (Err(error), _) => self.invalid = Some(format!("header name: {error}")),
            (Ok(name), Err(error)) => {
                self.invalid = Some(format!("value of header {name}: {error}"));
            }
        }
        self
    }
}

impl<S> IntoResponse for StreamedContent<S>
where
    S: Stream + Send + 'static,
    S::Item: Chunk,
{
    fn into_response(self) -> Response {
        if let Some(invalid) = self.invalid {
            return HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, invalid).into_response();
        }
        let mut response = Response::new(Body::new(StreamedBody {
            stream: Some(self.stream),
        }));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl<S> fmt::Debug for StreamedContent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedContent")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// What a [`StreamedContent`] can be made of: bytes or text, or a `Result` of them.
///
/// Implemented for those types only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a chunk of a streamed response",
    note = "yield `Bytes`, `String`, `Vec<u8>`, `&'static str`, or a `Result` of one of them"
)]
pub trait Chunk: sealed::IntoChunk {}

mod sealed {
    use super::{BoxError, Bytes};

    pub trait IntoChunk: Send {
        fn into_chunk(self) -> Result<Bytes, BoxError>;
    }
}

macro_rules! chunks {
    ($($type:ty),+) => { $(
        impl Chunk for $type {}
        impl sealed::IntoChunk for $type {
            fn into_chunk(self) -> Result<Bytes, BoxError> {
                Ok(self.into())
            }
        }
    )+ };
}

chunks!(Bytes, String, Vec<u8>, &'static str, &'static [u8]);

impl<T, E> Chunk for Result<T, E>
where
    T: Into<Bytes> + Send,
    E: Into<BoxError> + Send,
{
}

impl<T, E> sealed::IntoChunk for Result<T, E>
where
    T: Into<Bytes> + Send,
    E: Into<BoxError> + Send,
{
    fn into_chunk(self) -> Result<Bytes, BoxError> {
        self.map(Into::into).map_err(Into::into)
    }
}

pin_project! {
    /// The stream as a body. It is dropped as soon as it has ended, so that what it holds is free
    /// while the last bytes are still on their way.
    struct StreamedBody<S> {
        #[pin]
        stream: Option<S>,
    }
}

impl<S> http_body::Body for StreamedBody<S>
where
    S: Stream,
    S::Item: Chunk,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(stream) = self.as_mut().project().stream.as_pin_mut() else {
                return Poll::Ready(None);
            };
            // The stream is dropped after a panic and never polled again, so no broken state of it
            // can be seen. Uncaught, the panic would take the whole connection's task with it.
            let polled = match catch_unwind(AssertUnwindSafe(|| stream.poll_next(cx))) {
                Ok(polled) => ready!(polled).map(sealed::IntoChunk::into_chunk),
                Err(_) => Some(Err("the stream of the body panicked".into())),
            };
            match polled {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Some(Err(error)) => {
                    self.as_mut().project().stream.set(None);
                    tracing::error!(error = %error, "streamed body cut");
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.as_mut().project().stream.set(None);
                    return Poll::Ready(None);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use async_stream::stream;
    use http_body_util::BodyExt;

    use super::*;

    async fn frames(response: Response) -> Vec<Result<Bytes, String>> {
        let mut body = response.into_body();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(
                frame
                    .map(|frame| frame.into_data().unwrap())
                    .map_err(|e| e.to_string()),
            );
        }
        frames
    }

    #[tokio::test]
    async fn empty_chunks_do_not_end_the_body() {
        let stream = stream!(
            yield "";
            yield "a";
            yield "";
            yield "b";
        );
        let response = StreamedContent::new("text/plain", stream).into_response();
        assert_eq!(frames(response).await, [Ok("a".into()), Ok("b".into())]);
    }

    #[tokio::test]
    async fn an_error_cuts_the_body_after_what_came_before() {
        let stream = stream!(
            yield Ok(b"a".to_vec());
            yield Err("lost the source");
            yield Ok(b"never".to_vec());
        );
        let response = StreamedContent::new("text/plain", stream).into_response();
        assert_eq!(
            frames(response).await,
            [Ok("a".into()), Err("lost the source".to_owned())]
        );
    }

    #[tokio::test]
    async fn a_panic_cuts_the_body_and_nothing_else() {
        let stream = stream!(
            yield "a";
            if std::hint::black_box(true) {
                panic!("generator");
            }
            yield "never";
        );
        let frames = frames(StreamedContent::new("text/plain", stream).into_response()).await;
        assert_eq!(frames.len(), 2);
        assert!(frames[1].as_ref().unwrap_err().contains("panicked"));
    }

    #[tokio::test]
    async fn a_header_keeps_the_defaults_and_an_invalid_one_is_a_500() {
        let content = || StreamedContent::new("text/plain", stream!(yield "a";));
        let response = content()
            .status(StatusCode::ACCEPTED)
            .header("x-a", "b")
            .into_response();
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["x-a"], "b");
        assert_eq!(
            content().header("x-a", "b\nc").into_response().status(),
            500
        );
        assert_eq!(content().header("x a", "b").into_response().status(), 500);
    }
}
