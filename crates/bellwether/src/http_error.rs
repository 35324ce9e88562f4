//! An error with an HTTP status, for handlers and for streams that fail.
//!
//! It keeps two things apart: what the client may read (the message of a status below 500) and
//! what stays here (the message of a 500, and every source). The error page
//! ([`crate::error_page`]) decides by that line what it prints.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use axum::BoxError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// An error that knows the status it is to be answered with.
///
/// # Shape
///
/// As a response it is the status and one line of `text/plain`, from which an `Application` makes
/// its error page. As an item of a stream it decides the status if it comes before the head is
/// sent, and otherwise what the `bellwether.error` event says.
///
/// The message of a status below 500 is public: clients read it. The message of a 500 and above,
/// and every source, are internals: they are logged, and shown only with `show_error_details`.
///
/// Any standard error becomes a 500 by `?`. For that to be possible, `HttpError` itself does not
/// implement [`std::error::Error`]; it converts into a [`BoxError`], in which
/// [`HttpError::find`] finds it again.
///
/// # Example
///
/// ```
/// use bellwether::HttpError;
/// use http::StatusCode;
///
/// fn quantity(text: &str) -> Result<u32, HttpError> {
///     let quantity = text.parse::<u32>().map_err(|error| {
///         HttpError::new(StatusCode::BAD_REQUEST, "quantity must be a number").with_source(error)
///     })?;
///     Ok(quantity)
/// }
///
/// assert_eq!(quantity("7").map_err(|error| error.status()), Ok(7));
/// assert_eq!(quantity("x").map_err(|error| error.status()), Err(StatusCode::BAD_REQUEST));
/// ```
pub struct HttpError {
    status: StatusCode,
    message: Cow<'static, str>,
    source: Option<BoxError>,
}

impl HttpError {
    /// An error with this status and message.
    ///
    /// The message is public when the status is below 500. A status that is neither 4xx nor 5xx
    /// would hide the failure, so it becomes 500.
    ///
    /// ```
    /// use bellwether::HttpError;
    /// use http::StatusCode;
    ///
    /// let error = HttpError::new(StatusCode::NOT_FOUND, "no such room");
    /// assert_eq!(error.public_message(), "no such room");
    ///
    /// let error = HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "password of db1 is wrong");
    /// assert_eq!(error.public_message(), "Internal Server Error");
    /// ```
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        Self {
            status: if is_error {
                status
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            },
            message: message.into(),
            source: None,
        }
    }

    /// Converts a boxed error: to the `HttpError` that it holds, or else to a 500 with the box as its
    /// source. An `HttpError` deeper in the chain gives its status and message.
    ///
    /// ```
    /// use bellwether::{BoxError, HttpError};
    /// use http::StatusCode;
    ///
    /// let boxed: BoxError = HttpError::new(StatusCode::GONE, "moved").into();
    /// assert_eq!(HttpError::from_boxed(boxed).status(), StatusCode::GONE);
    /// assert_eq!(HttpError::from_boxed("broken".into()).status(), 500);
    /// ```
    pub fn from_boxed(error: BoxError) -> Self {
        let error = match error.downcast::<BoxedHttpError>() {
            Ok(boxed) => return boxed.0,
            Err(error) => error,
        };
        let (status, message) = match Self::find(error.as_ref()) {
            Some(inner) => (inner.status, inner.message.clone()),
            None => (status_of(error.as_ref()), Cow::Owned(error.to_string())),
        };
        let source = if status.is_client_error() {
            Some(error)
        } else {
            hide_repeat(error)
        };
        Self {
            status,
            message,
            source,
        }
    }

    /// Cause of this error. Clients never see it, whatever the status is.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The first `HttpError` in this chain of sources, starting with the error itself.
    ///
    /// ```
    /// use bellwether::{BoxError, HttpError};
    /// use http::StatusCode;
    ///
    /// let boxed: BoxError = HttpError::new(StatusCode::GONE, "moved").into();
    /// assert_eq!(HttpError::find(boxed.as_ref()).map(HttpError::status), Some(StatusCode::GONE));
    /// ```
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |&error| error.source())
            .find_map(|error| error.downcast_ref::<BoxedHttpError>())
            .map(|boxed| &boxed.0)
    }

    /// The status; 400 to 599, or what lies beyond 599 if it was given so.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text that a client may read: the message of a status below 500, otherwise the reason phrase of the status.
    pub fn public_message(&self) -> &str {
        if self.status.is_client_error() && !self.message.is_empty() {
            &self.message
        } else {
            reason(self.status)
        }
    }

    /// The message and every source's, outermost first: internals.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.message.clone().into_owned()];
        let source = self
            .source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn StdError + 'static));
        chain.extend(
            std::iter::successors(source, |&error| error.source()).map(ToString::to_string),
        );
        chain
    }
}

/// The status of an error of another crate: that of a subscription that could not be opened or an event that
/// could not be published is in its questions; any other is a 500.
fn status_of(error: &(dyn StdError + 'static)) -> StatusCode {
    match error.downcast_ref::<bellwether_topics::Error>() {
        Some(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
        Some(error) if error.is_invalid() => StatusCode::BAD_REQUEST,
        Some(error) if error.is_limit() || error.is_closed() || error.is_unavailable() => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The reason phrase, or a general word for a status that has none.
pub(crate) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// A boxed error whose text is already the message keeps only what lies below it.
///
/// The source of a box is borrowed, so the box itself has to stay; [`SourceOf`] skips its text.
fn hide_repeat(error: BoxError) -> Option<BoxError> {
    error.source()?;
    Some(Box::new(SourceOf(error)))
}

/// Stands for the source of the error it holds.
struct SourceOf(BoxError);

impl SourceOf {
    fn shown(&self) -> &(dyn StdError + 'static) {
        self.0.source().unwrap_or(self.0.as_ref())
    }
}

impl fmt::Display for SourceOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.shown(), f)
    }
}

impl fmt::Debug for SourceOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for SourceOf {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.shown().source()
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("status", &self.status)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl<E> From<E> for HttpError
where
    E: StdError + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        Self::from_boxed(Box::new(error))
    }
}

impl From<HttpError> for BoxError {
    fn from(error: HttpError) -> Self {
        Box::new(BoxedHttpError(error))
    }
}

/// An `HttpError` as a standard error, which it cannot be itself: the blanket `From` above would
/// then collide with the one that turns every type into itself.
#[derive(Debug)]
struct BoxedHttpError(HttpError);

impl fmt::Display for BoxedHttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for BoxedHttpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

/// The error of a response, kept in its extensions for the error page.
#[derive(Clone, Debug)]
pub(crate) struct HttpErrorExtension(pub(crate) Arc<HttpError>);

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        // Until an error page replaces it, the body is what the client may read and nothing else:
        // under a plain axum server this is the whole answer.
        let body = format!("{}\n", self.public_message());
        let status = self.status;
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
            .extensions_mut()
            .insert(HttpErrorExtension(Arc::new(self)));
        response
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;

    use super::*;

    fn reads() -> Result<(), HttpError> {
        Err(io::Error::other("disk 7 is on fire"))?;
        Ok(())
    }

    #[test]
    fn any_standard_error_becomes_a_500_by_the_question_mark() {
        let error = reads().unwrap_err();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.public_message(), "Internal Server Error");
        assert_eq!(error.chain(), ["disk 7 is on fire"]);
    }

    #[test]
    fn what_a_topic_refuses_has_the_status_of_whose_fault_it_is() {
        let topics = crate::Topics::builder().max_event_bytes(20).max_topics(1);
        let topics = topics.build();
        let news = topics.topic("news").unwrap();
        let status = |error| HttpError::from(error).status();
        let event = crate::ServerSentEvent::text("x".repeat(100));
        let too_large = status(news.publish(&event).unwrap_err());
        assert_eq!(too_large, StatusCode::PAYLOAD_TOO_LARGE);
        let nameless = status(topics.topic("").unwrap_err());
        assert_eq!(nameless, StatusCode::BAD_REQUEST);
        let one_too_many = status(topics.topic("weather").unwrap_err());
        assert_eq!(one_too_many, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn the_chain_names_each_source_once() {
        let cause = || Wrapped("connect", io::Error::other("no route").into());
        assert_eq!(HttpError::from(cause()).chain(), ["connect", "no route"]);
        let error = HttpError::new(StatusCode::BAD_GATEWAY, "peer").with_source(cause());
        assert_eq!(error.chain(), ["peer", "connect", "no route"]);
    }

    #[test]
    fn the_status_survives_the_box_and_wrapping() {
        let boxed: BoxError = HttpError::new(StatusCode::CONFLICT, "taken").into();
        assert_eq!(
            HttpError::find(boxed.as_ref()).unwrap().status(),
            StatusCode::CONFLICT
        );
        let wrapped: BoxError = Box::new(Wrapped("while saving", boxed));
        assert_eq!(
            HttpError::find(wrapped.as_ref()).unwrap().status(),
            StatusCode::CONFLICT
        );
        let error = HttpError::from_boxed(wrapped);
        assert_eq!(
            (error.status(), error.public_message()),
            (StatusCode::CONFLICT, "taken")
        );
        assert!(
            error.chain().iter().any(|line| line == "while saving"),
            "{:?}",
            error.chain()
        );
    }

    #[test]
    fn a_status_that_is_no_error_becomes_500() {
        assert_eq!(HttpError::new(StatusCode::OK, "fine").status(), 500);
        assert_eq!(HttpError::new(StatusCode::SEE_OTHER, "there").status(), 500);
    }

    #[test]
    fn messages_of_500_and_above_are_never_public() {
        for status in [500, 502, 503, 599, 600, 999] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = HttpError::new(status, "secret");
            assert!(!error.public_message().contains("secret"), "{status}");
        }
    }

    #[derive(Debug)]
    struct Wrapped(&'static str, BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self.1.as_ref())
        }
    }
}
