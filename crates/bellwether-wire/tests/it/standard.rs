//! The parsing algorithm of WHATWG HTML 9.2.5 and 9.2.6, written down sentence by sentence: slow, whole streams only,
//! and plain enough to be compared with the text by eye. The decoder is held to it.

use crate::vectors::Event;

/// What outlives a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventSource {
    pub(crate) events: Vec<Event>,
    pub(crate) last_event_id: String,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) comments: u64,
}

impl EventSource {
    /// Interprets all bytes of one connection, then the end of the stream.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        // "Streams must be decoded using the UTF-8 decode algorithm", which strips one leading byte-order mark.
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let (mut data, mut event_type) = (String::new(), String::new());
        // Engines begin with the id that they have, not with an empty buffer (whatwg/html issue 7363).
        let mut id = self.last_event_id.clone();
        for line in complete_lines(&text) {
            if line.is_empty() {
                self.last_event_id.clone_from(&id);
                if !data.is_empty() {
                    if data.ends_with('\n') {
                        data.pop();
                    }
                    self.events.push(Event {
                        event: if event_type.is_empty() {
                            "message".into()
                        } else {
                            event_type
                        },
                        data,
                        last_event_id: self.last_event_id.clone(),
                    });
                }
                (data, event_type) = (String::new(), String::new());
            } else if line.starts_with(':') {
                self.comments += 1;
            } else {
                let (field, value) = match line.split_once(':') {
                    Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
                    None => (line.as_str(), ""),
                };
                match field {
                    "event" => event_type = value.into(),
                    "data" => {
                        data.push_str(value);
                        data.push('\n');
                    }
                    "id" if !value.contains('\0') => id = value.into(),
                    "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                        // The bound is this crate's: the standard has none.
                        let bound = 1 << 53;
                        self.retry_ms = Some(value.parse::<u64>().unwrap_or(bound).min(bound));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The lines that have an end. What stands after the last one is never interpreted.
fn complete_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' | '\n' => {
                if character == '\r' {
                    characters.next_if_eq(&'\n');
                }
                lines.push(std::mem::take(&mut line));
            }
            other => line.push(other),
        }
    }
    lines
}
