//! Bytes to events: the algorithm of WHATWG HTML 9.2.5 and 9.2.6, fed with pieces of any size.
//!
//! Every byte is searched for line breaks once. A line that lies whole in the input is read right there; only a line
//! that a piece cuts is gathered in a buffer. The decoder does no I/O and knows no time: reconnecting and waiting are
//! the caller's.

use std::time::Duration;

use memchr::{memchr, memchr2};

use crate::error::{DecodeError, Limit};
use crate::event::MAX_RETRY_MS;
use crate::field::{EventId, EventName};
use crate::limits::Limits;
use crate::text::lossy;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line buffer that a long line has blown up beyond this is given back.
const KEPT_LINE_BYTES: usize = 64 * 1024;

/// Data up to this size goes out as a copy of its exact size, and its buffer is there for the next event; larger data
/// goes out in the buffer itself.
const KEPT_DATA_BYTES: usize = 4 * 1024;

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The event's name; `message` if it has none or an empty one.
    pub event: EventName,
    /// The data; its lines are joined by LF.
    pub data: String,
    /// The last id that the stream has set, with this event or before it; empty if there is none.
    pub last_event_id: EventId,
}

/// Reads an event stream, in pieces as they arrive.
///
/// How the bytes are cut makes no difference to what comes out. An event is there as soon as the first byte of its
/// blank line's break is: after a CR the decoder does not wait for a possible LF. What is unfinished when the stream
/// ends is discarded, so there is nothing to call at the end.
///
/// ```
/// use bellwether_wire::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut events = Vec::new();
/// for piece in [&b"id: 7\ndata: he"[..], b"llo\n\nevent: bye\nda", b"ta\n\n"] {
///     let mut input = piece;
///     while let Some(message) = decoder.decode(&mut input)? {
///         events.push((message.event.to_string(), message.data));
///     }
/// }
/// assert_eq!(events, [("message".into(), "hello".into()), ("bye".into(), String::new())]);
/// assert_eq!(decoder.last_event_id(), "7");
/// # Ok::<(), bellwether_wire::DecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    connection: Connection,
    last_event_id: EventId,
    /// Milliseconds, at most `MAX_RETRY_MS`.
    retry: Option<u32>,
    comments: u64,
}

/// What belongs to one connection and is forgotten at the next.
#[derive(Debug, Default)]
struct Connection {
    /// How many bytes of a byte-order mark have been seen; all of them once that question is settled.
    mark: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The length of the unfinished line, wherever its bytes are.
    line_bytes: usize,
    /// The unfinished line, unless it is known to be data: then its value goes straight into the block, so that
    /// large data is not copied twice. It has no CR and no LF in it.
    line: Vec<u8>,
    is_data_line: bool,
    block: Block,
    failed: Option<DecodeError>,
    /// How many bytes were searched for a line break: the tests hold it to the length of the input.
    #[cfg(test)]
    searched: usize,
}

/// The event that is being gathered.
#[derive(Debug, Default)]
struct Block {
    /// As received: invalid UTF-8 is replaced when the event goes out. Doing that all at once is as good as line by
    /// line, since a line break is ASCII and so never part of a longer sequence.
    data: Vec<u8>,
    /// Tells empty data from none: only the former makes an event.
    has_data: bool,
    name: EventName,
    /// Not the last event id before the blank line has come.
    id: Option<EventId>,
    /// The length of name and id as held.
    heading_bytes: usize,
}

impl Decoder {
    /// A decoder with the default [`Limits`] and no last event id.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with limits of the caller's.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Starts with this last event id, for a client that remembers where an earlier run stopped.
    #[must_use]
    pub fn resume_after(mut self, id: EventId) -> Self {
        self.last_event_id = id;
        self
    }

    /// Takes bytes from the front of `input` until an event is complete or the input is used up.
    ///
    /// Returns `None` when the input is used up. As long as it returns events, the rest of the same input may hold
    /// more of them. An event costs one allocation for its data (none if that is empty), names and ids above 38 bytes
    /// one each.
    ///
    /// # Errors
    ///
    /// A line or an event is beyond the [`Limits`]. There is no way to go on in that stream: the decoder has thrown
    /// away what it held and returns the same error until [`reconnect`](Self::reconnect) is called. All other bytes
    /// mean something, if only that a line is ignored.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, DecodeError> {
        if let Some(error) = self.connection.failed {
            return Err(error);
        }
        if self.connection.mark < BYTE_ORDER_MARK.len() {
            self.connection.skip_mark(input);
        }
        loop {
            if self.connection.after_cr {
                match input.split_first() {
                    None => return Ok(None),
                    Some((b'\n', rest)) => *input = rest,
                    Some(_) => {}
                }
                self.connection.after_cr = false;
            }
            let Some(at) = self.connection.find_line_end(input) else {
                if self.connection.line_bytes + input.len() > self.limits.max_line_bytes {
                    return Err(self.fail(Limit::Line, self.limits.max_line_bytes));
                }
                self.connection.keep(input);
                *input = &[];
                return Ok(None);
            };
            let (piece, rest) = input.split_at(at);
            self.connection.after_cr = rest.first() == Some(&b'\r');
            *input = rest.get(1..).unwrap_or_default();
            let length = self.connection.line_bytes + piece.len();
            if length == 0 {
                if let Some(message) = self.dispatch() {
                    return Ok(Some(message));
                }
                continue;
            }
            if length > self.limits.max_line_bytes {
                return Err(self.fail(Limit::Line, self.limits.max_line_bytes));
            }
            if self.connection.line_bytes == 0 {
                if let Some(message) = self.read_event(piece, input) {
                    return Ok(Some(message));
                }
                self.read_line(piece);
            } else {
                self.read_cut_line(piece);
            }
            if self.connection.block.size() > self.limits.max_event_bytes {
                return Err(self.fail(Limit::Event, self.limits.max_event_bytes));
            }
        }
    }

    /// The last event id, to be sent as `Last-Event-ID` with the next request unless it is empty.
    ///
    /// It counts from the blank line of its block on, also if the block has no data (WHATWG HTML 9.2.6).
    pub fn last_event_id(&self) -> &str {
        self.last_event_id.as_str()
    }

    /// The delay before the next reconnect, if the stream has set one: at most 2³¹ − 1 ms, more is taken for that.
    ///
    /// A `retry:` line counts as soon as it ends; one with anything but ASCII digits, or with nothing, is ignored.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.retry
            .map(|millis| Duration::from_millis(millis.into()))
    }

    /// How many comment lines have come, over all connections: a keep-alive is a sign of life that makes no event.
    pub fn comment_count(&self) -> u64 {
        self.comments
    }

    /// Forgets the connection, since the next bytes are those of a new one.
    ///
    /// An unfinished event and an error are gone, and a byte-order mark is skipped again. The last event id and the
    /// reconnection time stay: an event without an id on the new connection carries the old one, as in all browsers.
    pub fn reconnect(&mut self) {
        let mut line = std::mem::take(&mut self.connection.line);
        line.clear();
        self.connection = Connection {
            line,
            ..Connection::default()
        };
    }

    /// Reads a line that has been cut, with its last piece.
    fn read_cut_line(&mut self, piece: &[u8]) {
        self.connection.line_bytes = 0;
        if self.connection.is_data_line {
            self.connection.is_data_line = false;
            self.connection.block.data.extend_from_slice(piece);
            return;
        }
        let mut line = std::mem::take(&mut self.connection.line);
        line.extend_from_slice(piece);
        self.read_line(&line);
        self.connection.line = line;
        self.connection.clear_line();
    }

    /// Reads a line of data if it is all the data of its event, since the blank line follows at once.
    ///
    /// That is so for most events, and then the data is copied once, to where it stays.
    fn read_event(&mut self, line: &[u8], input: &mut &[u8]) -> Option<Message> {
        let block = &self.connection.block;
        if block.has_data || self.connection.after_cr {
            return None;
        }
        let rest = input.strip_prefix(b"\n")?;
        let value = value_of(line, b"data")?;
        if value.len() + block.heading_bytes > self.limits.max_event_bytes {
            return None;
        }
        *input = rest;
        let event = self.take_heading();
        Some(self.message(event, lossy(value).into_owned()))
    }

    /// Interprets one line that is not blank, given without its break.
    fn read_line(&mut self, line: &[u8]) {
        let block = &mut self.connection.block;
        // Names are compared as they are, byte by byte; whatever is none of these four is ignored.
        match line.first() {
            Some(b':') => self.comments = self.comments.saturating_add(1),
            Some(b'd') => {
                if let Some(value) = value_of(line, b"data") {
                    block.push_data(value);
                }
            }
            Some(b'e') => {
                if let Some(value) = value_of(line, b"event") {
                    block.name.set_line(value);
                    block.measure_heading();
                }
            }
            Some(b'i') => {
                // An id with U+0000 is ignored; the id that the block may have had before it stays.
                if let Some(value) = value_of(line, b"id")
                    && memchr(0, value).is_none()
                {
                    block.id.get_or_insert_default().set_line(value);
                    block.measure_heading();
                }
            }
            Some(b'r') => {
                if let Some(retry) = value_of(line, b"retry").and_then(milliseconds) {
                    self.retry = Some(retry);
                }
            }
            _ => {}
        }
    }

    /// A blank line: the id counts from now on, then the event goes out if it has data.
    fn dispatch(&mut self) -> Option<Message> {
        let event = self.take_heading();
        let block = &mut self.connection.block;
        if !block.has_data {
            return None;
        }
        block.has_data = false;
        let data = block.take_data();
        Some(self.message(event, data))
    }

    /// Takes the name for the event that ends here, and lets its id count.
    fn take_heading(&mut self) -> EventName {
        let block = &mut self.connection.block;
        if block.heading_bytes > 0 || block.id.is_some() {
            block.heading_bytes = 0;
            if let Some(id) = block.id.take() {
                self.last_event_id = id;
            }
            let name = std::mem::take(&mut block.name);
            if !name.is_empty() {
                return name;
            }
        }
        EventName::MESSAGE
    }

    fn message(&self, event: EventName, data: String) -> Message {
        Message {
            event,
            data,
            last_event_id: self.last_event_id.clone(),
        }
    }

    /// Gives up the connection and the memory that it held.
    fn fail(&mut self, limit: Limit, allowed: usize) -> DecodeError {
        let error = DecodeError { limit, allowed };
        self.connection = Connection {
            failed: Some(error),
            ..Connection::default()
        };
        error
    }
}

impl Connection {
    /// Skips a byte-order mark at the very beginning, which may come in pieces too.
    fn skip_mark(&mut self, input: &mut &[u8]) {
        while let Some(expected) = BYTE_ORDER_MARK.get(self.mark)
            && let Some((first, rest)) = input.split_first()
        {
            if first != expected {
                // It was not one: what looked like it begins the first line.
                let beginning = BYTE_ORDER_MARK.get(..self.mark).unwrap_or_default();
                self.line.extend_from_slice(beginning);
                self.line_bytes = self.line.len();
                self.mark = BYTE_ORDER_MARK.len();
                return;
            }
            self.mark += 1;
            *input = rest;
        }
    }

    /// Finds the first CR or LF.
    fn find_line_end(&mut self, input: &[u8]) -> Option<usize> {
        // Every event ends with a blank line, which is seen without a search.
        let found = match input.first() {
            Some(b'\n') => Some(0),
            _ => memchr2(b'\r', b'\n', input),
        };
        #[cfg(test)]
        {
            self.searched += found.map_or(input.len(), |at| at + 1);
        }
        found
    }

    /// Empties the line buffer for the next line, and gives it back if it has become large.
    fn clear_line(&mut self) {
        if self.line.capacity() > KEPT_LINE_BYTES {
            self.line = Vec::new();
        }
        self.line.clear();
    }

    /// Keeps a piece of a line whose end has not come.
    fn keep(&mut self, piece: &[u8]) {
        self.line_bytes += piece.len();
        if self.is_data_line {
            self.block.data.extend_from_slice(piece);
            return;
        }
        if !self.line.is_empty() {
            self.line.extend_from_slice(piece);
        }
        let line = if self.line.is_empty() {
            piece
        } else {
            &self.line
        };
        // One byte after the colon tells whether there is a space to be removed.
        if line.len() > "data:".len()
            && line.starts_with(b"data:")
            && let Some(value) = value_of(line, b"data")
        {
            self.block.begin_data_line();
            self.block.data.extend_from_slice(value);
            self.is_data_line = true;
            self.clear_line();
        } else if self.line.is_empty() {
            self.line.extend_from_slice(piece);
        }
    }
}

impl Block {
    /// What counts against the limit.
    fn size(&self) -> usize {
        self.data.len() + self.heading_bytes
    }

    fn measure_heading(&mut self) {
        let id = self.id.as_ref().map_or(0, |id| id.as_bytes().len());
        self.heading_bytes = self.name.as_bytes().len() + id;
    }

    fn push_data(&mut self, value: &[u8]) {
        self.begin_data_line();
        self.data.extend_from_slice(value);
    }

    fn take_data(&mut self) -> String {
        if self.data.len() <= KEPT_DATA_BYTES {
            let data = lossy(&self.data).into_owned();
            self.data.clear();
            return data;
        }
        String::from_utf8(std::mem::take(&mut self.data))
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn begin_data_line(&mut self) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
    }
}

/// The value of the line's field if it has this name. One space after the colon is not part of it; without a colon
/// the value is empty.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

/// Reads a number of ASCII digits; one that is too large becomes the largest.
fn milliseconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(value.min(MAX_RETRY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_in_pieces(decoder: &mut Decoder, bytes: &[u8], size: usize) -> usize {
        let mut count = 0;
        for mut piece in bytes.chunks(size) {
            while decoder.decode(&mut piece).unwrap().is_some() {
                count += 1;
            }
        }
        count
    }

    #[test]
    fn every_byte_is_searched_once_however_the_input_is_cut() {
        let mut bytes = b"data: ".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 100_000));
        bytes.extend(b"\r\n\r\n");
        bytes.extend(b"data: a\n".repeat(10_000));
        bytes.extend(b"\n");
        for size in [1, 2, 7, 1000, bytes.len()] {
            let mut decoder = Decoder::new();
            assert_eq!(decode_in_pieces(&mut decoder, &bytes, size), 2);
            assert!(
                decoder.connection.searched <= bytes.len(),
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn the_line_buffer_is_reused_and_does_not_stay_large() {
        let mut decoder = Decoder::new();
        assert_eq!(
            decode_in_pieces(&mut decoder, &b"data: 0123456789\n\n".repeat(10), 5),
            10
        );
        let buffer = decoder.connection.line.as_ptr();
        assert_eq!(
            decode_in_pieces(&mut decoder, &b"data: 0123456789\n\n".repeat(10), 5),
            10
        );
        assert_eq!(decoder.connection.line.as_ptr(), buffer);

        let comment = [b":".as_slice(), &[b'x'; 1_000_000], b"\ndata\n\n"].concat();
        assert_eq!(decode_in_pieces(&mut decoder, &comment, 4096), 1);
        assert!(decoder.connection.line.capacity() <= KEPT_LINE_BYTES);

        let long = [b"data: ".as_slice(), &[b'x'; 1_000_000], b"\n\n"].concat();
        let (mut start, mut rest) = long.split_at(3);
        assert_eq!(decoder.decode(&mut start), Ok(None));
        assert!(decoder.decode(&mut rest).unwrap().is_some());
        let (mut start, mut middle) = long.split_at(3);
        middle = middle.strip_suffix(b"\n\n").unwrap();
        assert_eq!(decoder.decode(&mut start), Ok(None));
        assert_eq!(decoder.decode(&mut middle), Ok(None));
        assert!(decoder.connection.line.capacity() <= KEPT_LINE_BYTES);
    }

    #[test]
    fn data_that_came_in_pieces_has_its_exact_size_and_leaves_the_buffer() {
        let mut decoder = Decoder::new();
        let mut buffers = Vec::new();
        for _ in 0..2 {
            assert_eq!(decoder.decode(&mut &b"data: 0123"[..]), Ok(None));
            let message = decoder.decode(&mut &b"456\ndata: 789\n\n"[..]);
            let data = message.unwrap().unwrap().data;
            assert_eq!((data.as_str(), data.capacity()), ("0123456\n789", 11));
            buffers.push(decoder.connection.block.data.as_ptr());
        }
        assert_eq!(buffers[0], buffers[1]);

        let long = [b"data: ".as_slice(), &[b'x'; 1_000_000], b"\n\n"].concat();
        assert_eq!(decode_in_pieces(&mut decoder, &long, 4096), 1);
        assert_eq!(decoder.connection.block.data.capacity(), 0);
    }

    #[test]
    fn an_error_frees_what_was_held() {
        let mut decoder = Decoder::with_limits(Limits::default().max_event_bytes(1_000_000));
        let mut bytes: &[u8] = &b"data: 0123456789\n".repeat(100_000);
        assert!(decoder.decode(&mut bytes).is_err());
        assert_eq!(decoder.connection.block.data.capacity(), 0);
        assert_eq!(decoder.connection.line.capacity(), 0);
    }
}
