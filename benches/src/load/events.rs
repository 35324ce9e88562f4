//! Checks what the reader of a generator receives: every event's number.
//!
//! Pure: bytes in any pieces go in, counts and faults come out. It compares whole events with the
//! bytes that must come next, so that the load generator costs little beside the server.

use super::Faults;
use super::framing::Framing;

const BEFORE: &[u8] = b"data: {\"i\":";
const AFTER: &[u8] = b",\"msg\":\"hello\"}\n\n";

/// An event of a peer is never longer than this.
const MAX_PIECE_BYTES: usize = 16 * 1024;

/// The state of one reader's stream.
#[derive(Debug)]
pub(crate) struct Checker {
    framing: Framing,
    body: Body,
}

/// What is known of the events.
#[derive(Debug)]
struct Body {
    /// An event that came in pieces.
    partial: Vec<u8>,
    /// The event that must come next, and its number.
    expected: Vec<u8>,
    next: u64,
    faults: Faults,
}

impl Checker {
    pub(crate) fn new() -> Self {
        let mut body = Body {
            partial: Vec::new(),
            expected: Vec::new(),
            next: 0,
            faults: Faults::default(),
        };
        body.expect(0);
        Self {
            framing: Framing::new(),
            body,
        }
    }

    /// The number of the next event; without faults also how many came.
    pub(crate) fn next(&self) -> u64 {
        self.body.next
    }

    pub(crate) fn faults(&self) -> Faults {
        self.body.faults
    }

    /// Whether the last chunk has come.
    pub(crate) fn is_ended(&self) -> bool {
        self.framing.is_ended()
    }

    /// Takes bytes as they arrive.
    ///
    /// # Errors
    ///
    /// The response is no event stream, or its chunks are broken.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Self { framing, body } = self;
        framing.take(bytes, |bytes| body.take(bytes))
    }
}

impl Body {
    /// Bytes of the stream itself. Nearly all of them take the loop of whole events.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.partial.is_empty() {
                while let Some(rest) = bytes.strip_prefix(self.expected.as_slice()) {
                    bytes = rest;
                    self.advance();
                }
            }
            let Some((&first, rest)) = bytes.split_first() else {
                break;
            };
            bytes = rest;
            self.partial.push(first);
            if self.partial.ends_with(b"\n\n") {
                self.judge();
                self.partial.clear();
            } else if self.partial == b"\n"
                || first == b'\n'
                    && (self.partial.starts_with(b":") || self.partial.starts_with(b"retry:"))
            {
                // A comment or a delay is done with its line, whether or not a blank line follows.
                self.partial.clear();
            } else if self.partial.len() > MAX_PIECE_BYTES {
                return Err("an event without an end".to_owned());
            }
        }
        Ok(())
    }

    /// A block that did not come in one piece, or not as expected.
    fn judge(&mut self) {
        let block = self.partial.as_slice();
        let number = block
            .strip_prefix(BEFORE)
            .and_then(|rest| rest.strip_suffix(AFTER))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        match number {
            None => self.faults.foreign += 1,
            Some(number) if number < self.next => self.faults.duplicates += 1,
            Some(number) => {
                self.faults.gaps += number - self.next;
                self.expect(number + 1);
            }
        }
    }

    /// Makes `number` the event that must come next.
    fn expect(&mut self, number: u64) {
        self.next = number;
        self.expected = [BEFORE, number.to_string().as_bytes(), AFTER].concat();
    }

    /// The same as `expect(next + 1)`, by counting up the digits in place.
    fn advance(&mut self) {
        self.next += 1;
        let end = self.expected.len() - AFTER.len();
        for digit in self.expected[BEFORE.len()..end].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.expect(self.next);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n";

    fn event(number: u64) -> String {
        format!("data: {{\"i\":{number},\"msg\":\"hello\"}}\n\n")
    }

    fn chunk(data: &str) -> String {
        format!("{:x}\r\n{data}\r\n", data.len())
    }

    fn check(text: &str, pieces: usize) -> Checker {
        let mut checker = Checker::new();
        for piece in text.as_bytes().chunks(pieces) {
            checker.take(piece).unwrap();
        }
        checker
    }

    #[test]
    fn events_count_however_they_are_cut() {
        let events: String = (0..1200).map(event).collect();
        let (one, two) = events.split_at(events.len() / 3);
        let text = format!("{HEAD}{}{}0\r\n\r\n", chunk(one), chunk(two));
        for pieces in [1, 7, 100, usize::MAX >> 1] {
            let checker = check(&text, pieces);
            assert_eq!((checker.next(), checker.faults().any()), (1200, false));
            assert!(checker.is_ended());
        }
    }

    #[test]
    fn comments_are_no_events() {
        let text = format!(
            "{HEAD}{}",
            chunk(&format!(":\n{}: hello\n\n{}", event(0), event(1)))
        );
        let checker = check(&text, 9);
        assert_eq!((checker.next(), checker.faults().any()), (2, false));
    }

    #[test]
    fn gaps_duplicates_and_strangers_are_faults() {
        let events = [
            event(0),
            event(3),
            event(2),
            "data: 4\n\n".to_owned(),
            event(4),
        ]
        .concat();
        let checker = check(&format!("{HEAD}{}", chunk(&events)), 1000);
        assert_eq!(
            checker.faults(),
            Faults {
                gaps: 2,
                duplicates: 1,
                foreign: 1
            }
        );
        assert_eq!(checker.next(), 5);
    }

    #[test]
    fn an_answer_that_is_no_event_stream_is_an_error() {
        let answer = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(Checker::new().take(answer).is_err());
    }
}
