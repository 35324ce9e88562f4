//! A line of JSON as a message to be sent, or why it cannot be. Pure.
//!
//! `{"data":{"text":…}|{"json":…},"event":…,"id":…,"retry":{"ms":…},"comment":…}`, every key optional. It is read by
//! hand, key by key: so an error can name what was found, and neither `null` nor a list is accepted instead of an
//! object.

use std::fmt;
use std::time::Duration;

use bellwether_wire::{EventId, EventName, ServerSentEvent};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::compact::compact;

/// The keys and values of an object, as they were written.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Reads one line.
///
/// # Errors
///
/// What was found, and what is allowed.
pub(crate) fn read(line: &[u8]) -> Result<ServerSentEvent, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to() + 1;
        format!("not UTF-8: found an invalid byte in column {at}")
    })?;
    let value: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let fields = object("a message", value).map_err(|reason| match kind(value) {
        "a string" => format!("{reason}; text is sent by {{\"data\":{{\"text\":…}}}}"),
        _ => reason,
    })?;
    let mut event = ServerSentEvent::new();
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in &fields.0 {
        if seen.contains(&key.as_str()) {
            return Err(format!("found the key {key:?} twice"));
        }
        seen.push(key);
        event = match key.as_str() {
            "data" => event.with_data(data(value)?),
            "event" => {
                let name = EventName::new(string("event", value)?);
                event.event(name.map_err(|error| error.to_string())?)
            }
            "id" => {
                let id = EventId::new(string("id", value)?);
                event.id(id.map_err(|error| error.to_string())?)
            }
            "retry" => event.retry(retry(value)?),
            "comment" => event.comment(string("comment", value)?),
            _ => {
                return Err(format!(
                    "found the key {key:?}; \"data\", \"event\", \"id\", \"retry\" and \"comment\" are allowed"
                ));
            }
        };
    }
    Ok(event)
}

/// `{"text":…}` or `{"json":…}`.
fn data(value: &RawValue) -> Result<String, String> {
    let fields = object("\"data\"", value).map_err(|reason| match kind(value) {
        "null" => format!("{reason}; leave the key out to set nothing"),
        "a string" => format!("{reason}; write {{\"text\":…}} for text"),
        _ => format!("{reason}; write {{\"json\":…}} for a value"),
    })?;
    match fields.0.as_slice() {
        [(key, value)] if key == "text" => string("text", value),
        [(key, value)] if key == "json" => Ok(compact(value.get())),
        found => Err(format!(
            "\"data\" must be {{\"text\":…}} or {{\"json\":…}}: found {}",
            keys(found)
        )),
    }
}

/// `{"ms":…}`.
fn retry(value: &RawValue) -> Result<Duration, String> {
    let fields = object("\"retry\"", value)?;
    let [(key, value)] = fields.0.as_slice() else {
        let found = keys(&fields.0);
        return Err(format!("\"retry\" must be {{\"ms\":…}}: found {found}"));
    };
    if key != "ms" {
        return Err(format!(
            "\"retry\" must be {{\"ms\":…}}: found the key {key:?}"
        ));
    }
    let number = value.get();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        let found = match kind(value) {
            "a number" => clipped(number),
            kind => kind.to_owned(),
        };
        return Err(format!(
            "\"ms\" must be a whole number of milliseconds, 0 or more: found {found}"
        ));
    }
    // Digits that do not fit are a large number all the same, and the event takes its largest instead.
    Ok(Duration::from_millis(number.parse().unwrap_or(u64::MAX)))
}

fn object<'a>(what: &str, value: &'a RawValue) -> Result<Object<'a>, String> {
    if kind(value) != "an object" {
        return Err(format!("{what} must be an object: found {}", kind(value)));
    }
    serde_json::from_str(value.get()).map_err(|error| not_json(&error))
}

fn string(key: &str, value: &RawValue) -> Result<String, String> {
    match kind(value) {
        "a string" => serde_json::from_str(value.get())
            .map_err(|error| format!("{key:?} is not valid text: {}", in_column(&error))),
        "null" => Err(format!(
            "{key:?} must be a string: found null; leave the key out to set nothing"
        )),
        found => Err(format!("{key:?} must be a string: found {found}")),
    }
}

/// What kind of value it is, told by its first character.
fn kind(value: &RawValue) -> &'static str {
    match value.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn keys(fields: &[(String, &RawValue)]) -> String {
    match fields {
        [] => "no key".to_owned(),
        [(key, _)] => format!("the key {key:?}"),
        _ => format!("{} keys", fields.len()),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn not_json(error: &serde_json::Error) -> String {
    format!("not JSON: {}", in_column(error))
}

/// The message for something that is one line.
fn in_column(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " in column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(line: &str) -> String {
        let event = read(line.as_bytes()).unwrap();
        String::from_utf8(event.encode().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn every_key_is_optional_and_empty_is_not_absent() {
        assert_eq!(bytes("{}"), "");
        assert_eq!(bytes(r#"{"data":{"text":""}}"#), "data: \n\n");
        assert_eq!(bytes(r#"{"id":""}"#), "id: \n\n");
        assert_eq!(bytes(r#"{"event":""}"#), "event: \n\n");
        assert_eq!(bytes(r#"{"comment":""}"#), ":\n");
        let all =
            r#"{"data":{"text":"a\r\nb"},"event":"e","id":"1","retry":{"ms":5},"comment":"c"}"#;
        let expected = ": c\nevent: e\nretry: 5\ndata: a\ndata: b\nid: 1\n\n";
        assert_eq!(bytes(all), expected);
    }

    #[test]
    fn json_goes_out_compact_and_exact() {
        let line = r#"{"data":{"json":{ "b": 12345678901234567890123, "a": [1.0, null] }}}"#;
        let expected = "data: {\"b\":12345678901234567890123,\"a\":[1.0,null]}\n\n";
        assert_eq!(bytes(line), expected);
        for falsy in ["null", "0", "false", "\"\"", "{}", "[]"] {
            let line = format!("{{\"data\":{{\"json\": {falsy} }}}}");
            assert_eq!(bytes(&line), format!("data: {falsy}\n\n"));
        }
    }

    #[test]
    fn a_retry_beyond_what_browsers_keep_is_their_largest() {
        for ms in ["2147483648", "99999999999999999999999999"] {
            let line = format!(r#"{{"retry":{{"ms":{ms}}}}}"#);
            assert_eq!(bytes(&line), "retry: 2147483647\n");
        }
    }

    #[test]
    fn refusals_say_what_was_found() {
        for (line, reason) in [
            (
                r#"{"event":"a\nb"}"#,
                "event name must not contain a line break: found U+000A at byte 1",
            ),
            (
                r#"{"id":"a\u0000"}"#,
                "event id must not contain a line break or U+0000: found U+0000 at byte 1",
            ),
            (r#"{"id":7}"#, "\"id\" must be a string: found a number"),
            (
                r#"{"id":null}"#,
                "\"id\" must be a string: found null; leave the key out to set nothing",
            ),
            (
                r#"{"data":null}"#,
                "\"data\" must be an object: found null; leave the key out to set nothing",
            ),
            (
                r#"{"data":"x"}"#,
                "\"data\" must be an object: found a string; write {\"text\":…} for text",
            ),
            (
                r#"{"data":{}}"#,
                "\"data\" must be {\"text\":…} or {\"json\":…}: found no key",
            ),
            (
                r#"{"data":{"text":"a","json":1}}"#,
                "\"data\" must be {\"text\":…} or {\"json\":…}: found 2 keys",
            ),
            (
                r#"{"data":{"txt":"a"}}"#,
                "\"data\" must be {\"text\":…} or {\"json\":…}: found the key \"txt\"",
            ),
            (
                r#"{"data":{"text":1}}"#,
                "\"text\" must be a string: found a number",
            ),
            (
                r#"{"retry":3}"#,
                "\"retry\" must be an object: found a number",
            ),
            (
                r#"{"retry":{"ms":-1}}"#,
                "\"ms\" must be a whole number of milliseconds, 0 or more: found -1",
            ),
            (
                r#"{"retry":{"ms":1.5}}"#,
                "\"ms\" must be a whole number of milliseconds, 0 or more: found 1.5",
            ),
            (
                r#"{"retry":{"ms":"1"}}"#,
                "\"ms\" must be a whole number of milliseconds, 0 or more: found a string",
            ),
            (
                r#"{"retry":{"s":1}}"#,
                "\"retry\" must be {\"ms\":…}: found the key \"s\"",
            ),
            (
                r#"{"name":"x"}"#,
                "found the key \"name\"; \"data\", \"event\", \"id\", \"retry\" and \"comment\" are allowed",
            ),
            (r#"{"id":"1","id":"2"}"#, "found the key \"id\" twice"),
            ("[]", "a message must be an object: found an array"),
            ("null", "a message must be an object: found null"),
            ("{} {}", "not JSON: trailing characters in column 4"),
            ("data: x", "not JSON: expected value in column 1"),
            (
                r#"{"id":"\ud800"}"#,
                "\"id\" is not valid text: unexpected end of hex escape in column 8",
            ),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err(), reason, "{line}");
        }
        let error = read(b"{\"id\":\"\xff\"}").unwrap_err();
        assert_eq!(error, "not UTF-8: found an invalid byte in column 8");
    }
}
