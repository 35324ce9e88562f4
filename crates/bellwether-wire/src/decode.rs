//! Bytes to events: the algorithm of WHATWG HTML 9.2.5 and 9.2.6, fed with pieces of any size.
//!
//! Every byte is searched for line breaks once. A line that lies whole in the input is read right there; only a line
//! that a piece cuts is gathered in a buffer. The decoder does no I/O and knows no time: reconnecting and waiting are
//! the caller's.

use std::borrow::Cow;
use std::time::Duration;

use memchr::memchr2;

use crate::block::{Block, Effect, value_of};
use crate::error::{DecodeError, Limit};
use crate::field::{EventId, EventName};
use crate::limits::Limits;
use crate::text::lossy;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line buffer that a long line has blown up beyond this is given back.
const KEPT_LINE_BYTES: usize = 64 * 1024;

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

/// An event as a client sees it, borrowed from the input and the decoder: from [`Decoder::decode_ref`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageRef<'a> {
    /// The event's name; `message` if it has none or an empty one.
    pub event: &'a EventName,
    /// The data; its lines are joined by LF. Borrowed from the input if it is one line that lies there whole; owned if
    /// bytes of it had to be replaced, or if it is long and came in pieces.
    pub data: Cow<'a, str>,
    /// The last id that the stream has set, with this event or before it; empty if there is none.
    pub last_event_id: &'a EventId,
}

impl MessageRef<'_> {
    /// The event as a value of its own. Copies data that is borrowed.
    #[inline]
    pub fn into_owned(self) -> Message {
        Message {
            event: self.event.clone(),
            data: self.data.into_owned(),
            last_event_id: self.last_event_id.clone(),
        }
    }
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
    /// The block has gone out as an event, and is to be emptied.
    is_spent: bool,
    failed: Option<DecodeError>,
    /// How many bytes were searched for a line break: the tests hold it to the length of the input.
    #[cfg(test)]
    searched: usize,
}

/// How far a look at the input has come.
enum Step<'i> {
    /// All of it is read, and no event is complete.
    NoEvent,
    /// The event's data is this line of the input.
    Whole(&'i [u8]),
    /// The event's data has been gathered.
    Gathered,
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
    /// more of them. An event costs one allocation for its data (none if that is empty), names and ids above 32 bytes
    /// one each.
    ///
    /// # Errors
    ///
    /// A line or an event is beyond the [`Limits`]. There is no way to go on in that stream: the decoder has thrown
    /// away what it held and returns the same error until [`reconnect`](Self::reconnect) is called. All other bytes
    /// mean something, if only that a line is ignored.
    #[inline]
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, DecodeError> {
        match self.decode_ref(input)? {
            Some(message) => Ok(Some(message.into_owned())),
            None => Ok(None),
        }
    }

    /// Like [`decode`](Self::decode), but the event is only lent: for whoever looks at it at once, for instance to read
    /// JSON, and needs no copy. Most events cost no allocation then.
    ///
    /// ```
    /// use std::borrow::Cow;
    /// use bellwether_wire::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// let mut input: &[u8] = b"data: 20.5\n\n";
    /// let message = decoder.decode_ref(&mut input)?.expect("one event is complete");
    /// assert!(matches!(message.data, Cow::Borrowed("20.5")));
    /// # Ok::<(), bellwether_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    #[inline(always)]
    pub fn decode_ref<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<MessageRef<'a>>, DecodeError> {
        let whole = match self.step(input)? {
            Step::NoEvent => return Ok(None),
            Step::Whole(value) => Some(lossy(value)),
            Step::Gathered => None,
        };
        let (event, gathered) = self.connection.block.name_and_data();
        Ok(Some(MessageRef {
            event,
            data: whole.unwrap_or_else(|| gathered.take()),
            last_event_id: &self.last_event_id,
        }))
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

    /// Takes bytes until an event is complete. The block then holds what is not in the input.
    // Its callers build what they give right where it finds it: events are too large to be handed on twice.
    #[inline(always)]
    fn step<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, DecodeError> {
        if self.connection.is_spent {
            self.connection.is_spent = false;
            self.connection.block.clear();
        }
        if let Some(error) = self.connection.failed {
            return Err(error);
        }
        if self.connection.mark < BYTE_ORDER_MARK.len() {
            self.connection.skip_mark(input);
        }
        loop {
            if self.connection.after_cr {
                match input.split_first() {
                    None => return Ok(Step::NoEvent),
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
                return Ok(Step::NoEvent);
            };
            let (piece, rest) = input.split_at(at);
            self.connection.after_cr = rest.first() == Some(&b'\r');
            *input = rest.get(1..).unwrap_or_default();
            let length = self.connection.line_bytes + piece.len();
            if length == 0 {
                if self.dispatch() {
                    return Ok(Step::Gathered);
                }
                continue;
            }
            if length > self.limits.max_line_bytes {
                return Err(self.fail(Limit::Line, self.limits.max_line_bytes));
            }
            if self.connection.line_bytes == 0 {
                if let Some(value) = self.read_event(piece, input) {
                    return Ok(Step::Whole(value));
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

    /// Reads a line that has been cut, with its last piece.
    fn read_cut_line(&mut self, piece: &[u8]) {
        self.connection.line_bytes = 0;
        if self.connection.is_data_line {
            self.connection.is_data_line = false;
            self.connection.block.data.push(piece);
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
    /// That is so for most events, and then the data is not gathered at all.
    #[inline]
    fn read_event<'i>(&mut self, line: &'i [u8], input: &mut &'i [u8]) -> Option<&'i [u8]> {
        let block = &mut self.connection.block;
        if block.has_data || self.connection.after_cr {
            return None;
        }
        let rest = input.strip_prefix(b"\n")?;
        let value = value_of(line, b"data")?;
        if value.len() + block.heading_bytes > self.limits.max_event_bytes {
            return None;
        }
        *input = rest;
        block.commit_id(&mut self.last_event_id);
        self.connection.is_spent = true;
        Some(value)
    }

    /// Interprets one line that is not blank, given without its break.
    fn read_line(&mut self, line: &[u8]) {
        match self.connection.block.read_line(line) {
            Effect::None => {}
            Effect::Comment => self.comments = self.comments.saturating_add(1),
            Effect::Retry(millis) => self.retry = Some(millis),
        }
    }

    /// A blank line: the id counts from now on, then the event goes out if it has data.
    fn dispatch(&mut self) -> bool {
        let block = &mut self.connection.block;
        block.commit_id(&mut self.last_event_id);
        if block.has_data {
            self.connection.is_spent = true;
            return true;
        }
        block.clear();
        false
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
            self.block.data.push(piece);
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
            self.block.data.push(value);
            self.is_data_line = true;
            self.clear_line();
        } else if self.line.is_empty() {
            self.line.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gathered::WAITING_BYTES;

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
            buffers.push(decoder.connection.block.data.capacity());
        }
        assert_eq!(buffers[0], buffers[1]);

        let long = [b"data: ".as_slice(), &[b'x'; 1_000_000], b"\n\n"].concat();
        assert_eq!(decode_in_pieces(&mut decoder, &long, 4096), 1);
        assert!(decoder.connection.block.data.capacity() <= 2 * WAITING_BYTES);
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
