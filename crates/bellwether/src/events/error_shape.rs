//! The shapes in which the clients of language models expect an error in the middle of a stream.

use axum::BoxError;
use bellwether_wire::{ServerSentEvent, event_name};
use http::StatusCode;
use serde_json::json;

use crate::error_page::{error_kind, public};

/// Shape of the event that reports an error, for clients that know only their own vendor's.
///
/// Give it to [`ServerEventsResponse::error_shape`](crate::ServerEventsResponse::error_shape). The event
/// contains the status and the message that a client may see: those of an [`HttpError`](crate::HttpError)
/// below 500, and otherwise `Internal Server Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorShape {
    /// As OpenAI's chat completions: an event without a name, and
    /// `{"error":{"message":…,"type":…,"param":null,"code":null}}`. Its SDKs raise an `APIError` with the message.
    OpenAi,
    /// As Anthropic's messages: an event `error` with `{"type":"error","error":{"type":…,"message":…}}`. Its SDKs raise
    /// an `APIStatusError` with the message.
    Anthropic,
}

impl ErrorShape {
    /// The event for an error.
    pub(super) fn event(self, error: &BoxError) -> ServerSentEvent {
        let (status, message) = public(error);
        match self {
            Self::OpenAi => ServerSentEvent::json(json!({ "error": {
                "message": message,
                "type": error_kind(status),
                "param": null,
                "code": null,
            }})),
            Self::Anthropic => ServerSentEvent::json(json!({
                "type": "error",
                "error": { "type": anthropic_kind(status), "message": message },
            }))
            .event(event_name!("error")),
        }
    }
}

fn anthropic_kind(status: StatusCode) -> &'static str {
    match error_kind(status) {
        "server_error" => "api_error",
        _ if status == StatusCode::NOT_FOUND => "not_found_error",
        kind => kind,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::HttpError;

    fn bytes(shape: ErrorShape, error: HttpError) -> String {
        let error: BoxError = error.into();
        let bytes = shape.event(&error).encode().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn an_error_has_the_shape_that_the_sdk_raises() {
        let slow_down = || HttpError::new(StatusCode::TOO_MANY_REQUESTS, "slow down");
        assert_eq!(
            bytes(ErrorShape::OpenAi, slow_down()),
            "data: {\"error\":{\"code\":null,\"message\":\"slow down\",\"param\":null,\
             \"type\":\"rate_limit_error\"}}\n\n"
        );
        assert_eq!(
            bytes(ErrorShape::Anthropic, slow_down()),
            "event: error\ndata: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\"},\
             \"type\":\"error\"}\n\n"
        );
    }

    #[test]
    fn an_inner_error_keeps_its_words_to_itself() {
        for shape in [ErrorShape::OpenAi, ErrorShape::Anthropic] {
            let inner = HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "password is x");
            let text = bytes(shape, inner);
            assert!(text.contains("Internal Server Error"), "{text}");
            assert!(!text.contains("password"), "{text}");
        }
    }
}
