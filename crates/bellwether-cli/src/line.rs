//! [`EventLine`]: one event as one line of JSON, the form in which events leave this program. Pure.

use serde::Serialize;

/// An event, or what is known of it. The order of the fields is the order in the line.
#[derive(Debug, Serialize)]
pub(crate) struct EventLine<'a> {
    /// `message` where the stream names none.
    pub(crate) event: &'a str,
    pub(crate) data: &'a str,
    /// The last event id when the event was dispatched; empty before any.
    pub(crate) id: &'a str,
    /// When it arrived, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<&'a str>,
}

/// What a client knows at the end of a stream.
#[derive(Debug, Serialize)]
pub(crate) struct StateLine<'a> {
    pub(crate) last_event_id: &'a str,
    /// `null` if the stream has set none.
    pub(crate) reconnection_ms: Option<u64>,
}

/// The value as a line of JSON, with its break.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("text and numbers are JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_order_and_text_is_not_escaped_without_need() {
        let line = EventLine {
            event: "price",
            data: "é\n\u{2028}\0",
            id: "",
            time: None,
        };
        let expected = "{\"event\":\"price\",\"data\":\"é\\n\u{2028}\\u0000\",\"id\":\"\"}\n";
        assert_eq!(String::from_utf8(json_line(&line)).unwrap(), expected);
    }

    #[test]
    fn a_reconnection_time_that_was_never_set_is_null() {
        let state = StateLine {
            last_event_id: "7",
            reconnection_ms: None,
        };
        let line = json_line(&state);
        assert_eq!(
            line,
            b"{\"last_event_id\":\"7\",\"reconnection_ms\":null}\n"
        );
    }
}
