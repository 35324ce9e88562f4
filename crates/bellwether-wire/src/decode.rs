//! Bytes to events: the algorithm of WHATWG HTML 9.2.5 and 9.2.6, fed with pieces of any size.
//!
//! A line that is whole in the input is scanned once and read in place; only a line that a piece cuts is gathered
//! in a buffer. The decoder does no I/O and knows no time: reconnecting and waiting are the caller's.

use std::time::Duration;

use crate::block::{Effect, value_of};
use crate::connection::{Connection, Phase};
use crate::error::{DecodeError, Limit};
use crate::field::EventId;
use crate::limits::Limits;
use crate::message::{Message, MessageRef};
use crate::scanned::Scanned;

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
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    connection: Connection,
    last_event_id: EventId,
    /// Milliseconds.
    retry: Option<u64>,
    comments: u64,
}

/// How far the input was read.
enum Step<'i> {
    /// All of it is read, and no event is complete.
    NoEvent,
    /// The event's data is this line of the input.
    Whole(Scanned<'i>),
    /// The event's data has been gathered.
    Gathered,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with the default [`Limits`] and no last event id.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A decoder with other [`Limits`] and no last event id.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            connection: Connection::new(&limits),
            last_event_id: EventId::default(),
            retry: None,
            comments: 0,
        }
    }

    /// Last event id with which the decoder starts, for a client that stores the position of an earlier run.
    /// Default: the empty id.
    ///
    /// ```
    /// use bellwether_wire::{Decoder, event_id};
    ///
    /// let decoder = Decoder::new().resume_after(event_id!("41"));
    /// assert_eq!(decoder.last_event_id(), "41");
    /// ```
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

    /// Like [`decode`](Self::decode), but the event borrows from the input: for a caller that reads it at
    /// once, for instance as JSON, and needs no copy. Most events then cost no allocation.
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
            Step::Whole(value) => Some(value.text()),
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

    /// Time before the next reconnect, if the stream has set one. A value above 2⁵³ ms counts as 2⁵³ ms.
    ///
    /// A `retry:` line counts as soon as it ends. A line that is empty or has anything but ASCII digits is
    /// ignored.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.retry.map(Duration::from_millis)
    }

    /// Number of comment lines so far, over all connections. A keep-alive is a comment, which makes no event.
    ///
    /// ```
    /// use bellwether_wire::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// assert!(decoder.decode(&mut &b":\n: still here\n"[..])?.is_none());
    /// assert_eq!(decoder.comment_count(), 2);
    /// # Ok::<(), bellwether_wire::DecodeError>(())
    /// ```
    pub fn comment_count(&self) -> u64 {
        self.comments
    }

    /// Resets the decoder for a new connection.
    ///
    /// An unfinished event and an error are dropped, and a byte-order mark is skipped again. The last event
    /// id and the reconnection time stay: an event without an id on the new connection has the old one, as in
    /// all browsers.
    ///
    /// ```
    /// use bellwether_wire::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.decode(&mut &b"id: 7\ndata: one\n\ndata: cut of"[..])?;
    /// decoder.reconnect();
    /// let message = decoder.decode(&mut &b"data: two\n\n"[..])?.expect("one event is complete");
    /// assert_eq!(message.data, "two");
    /// assert_eq!(decoder.last_event_id(), "7");
    /// # Ok::<(), bellwether_wire::DecodeError>(())
    /// ```
    pub fn reconnect(&mut self) {
        let mut line = std::mem::take(&mut self.connection.line);
        line.clear();
        self.connection = Connection {
            line,
            ..Connection::new(&self.limits)
        };
    }

    /// Takes bytes until an event is complete. The block then holds what is not in the input.
    // Its callers build what they give right where it finds it: events are too large to be handed on twice.
    #[inline(always)]
    fn step<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, DecodeError> {
        if matches!(self.connection.phase, Phase::Spent) {
            self.connection.phase = Phase::Reading;
            self.connection.block.clear();
        } else if !matches!(self.connection.phase, Phase::Reading) {
            self.connection.begin(input)?;
        }
        loop {
            if self.connection.line_bytes == 0 {
                let mut next = input.split_first();
                if self.connection.after_cr
                    && let Some((byte, rest)) = next
                {
                    self.connection.after_cr = false;
                    if *byte == b'\n' {
                        *input = rest;
                        next = rest.split_first();
                    }
                }
                match next {
                    None => return Ok(Step::NoEvent),
                    // The blank line that ends an event is seen without a search.
                    Some((b'\n', rest)) => {
                        *input = rest;
                        if self.dispatch() {
                            return Ok(Step::Gathered);
                        }
                        continue;
                    }
                    Some(_) => {}
                }
            }
            let piece = Scanned::line_of(input);
            let Some((line_break, rest)) = input.get(piece.len()..).and_then(<[u8]>::split_first)
            else {
                if self.connection.line_bytes + piece.len() > self.limits.max_line_bytes {
                    return Err(self.fail(Limit::Line, self.limits.max_line_bytes));
                }
                self.connection.keep(piece);
                *input = &[];
                return Ok(Step::NoEvent);
            };
            self.connection.after_cr = *line_break == b'\r';
            *input = rest;
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
            } else if self.connection.is_data_line {
                self.connection.line_bytes = 0;
                self.connection.is_data_line = false;
                self.connection.block.data.push(piece);
                if self.ends_event(input) {
                    return Ok(Step::Gathered);
                }
            } else {
                self.read_cut_line(piece);
            }
            if self.connection.block.size() > self.limits.max_event_bytes {
                return Err(self.fail(Limit::Event, self.limits.max_event_bytes));
            }
        }
    }

    /// Reads a line that has been cut and is no data, with its last piece.
    fn read_cut_line(&mut self, piece: Scanned<'_>) {
        self.connection.line_bytes = 0;
        let mut line = std::mem::take(&mut self.connection.line);
        line.extend_from_slice(piece.bytes());
        self.read_line(Scanned::line_of(&line));
        self.connection.line = line;
        self.connection.clear_line();
    }

    /// Reads a line of data if it is all the data of its event, since the blank line follows at once.
    ///
    /// That is so for most events, and then the data is not gathered at all.
    #[inline]
    fn read_event<'i>(&mut self, line: Scanned<'i>, input: &mut &'i [u8]) -> Option<Scanned<'i>> {
        let block = &mut self.connection.block;
        if block.has_data || self.connection.after_cr {
            return None;
        }
        let rest = input.strip_prefix(b"\n")?;
        let value = line.rest(|line| value_of(line, b"data"))?;
        if value.len() + block.heading_bytes > self.limits.max_event_bytes {
            return None;
        }
        *input = rest;
        block.commit_id(&mut self.last_event_id);
        if block.heading_bytes > 0 {
            self.connection.phase = Phase::Spent;
        }
        Some(value)
    }

    /// Takes the blank line after a line of data if it follows at once, as it mostly does.
    #[inline]
    fn ends_event(&mut self, input: &mut &[u8]) -> bool {
        let is_too_large = self.connection.block.size() > self.limits.max_event_bytes;
        if is_too_large || self.connection.after_cr {
            return false;
        }
        let Some(rest) = input.strip_prefix(b"\n") else {
            return false;
        };
        *input = rest;
        self.dispatch()
    }

    /// Interprets one line that is not blank, given without its break.
    fn read_line(&mut self, line: Scanned<'_>) {
        match self.connection.block.read_line(line) {
            Effect::None => {}
            Effect::Comment => self.comments = self.comments.saturating_add(1),
            Effect::Retry(millis) => self.retry = Some(millis),
        }
    }

    /// A blank line: the id counts from now on, then the event goes out if it has data.
    #[inline]
    fn dispatch(&mut self) -> bool {
        let block = &mut self.connection.block;
        block.commit_id(&mut self.last_event_id);
        if block.has_data {
            self.connection.phase = Phase::Spent;
            return true;
        }
        block.clear();
        false
    }

    /// Gives up the connection and the memory that it held.
    fn fail(&mut self, limit: Limit, allowed: usize) -> DecodeError {
        let error = DecodeError { limit, allowed };
        self.connection = Connection {
            phase: Phase::Failed(error),
            ..Connection::new(&self.limits)
        };
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::KEPT_LINE_BYTES;
    use crate::gathered::SMALL_BYTES;
    use crate::scanned::LOOKED_AT;

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
    fn every_byte_is_looked_at_twice_at_most_however_the_input_is_cut() {
        let long = [b'x'; 100_000];
        let mut bytes = Vec::new();
        for line in [&b"data: "[..], b": ", b"id: ", b"unknown"] {
            bytes.extend(line);
            bytes.extend(long);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(b"data: a\n".repeat(10_000));
        bytes.extend(b"\n");
        for size in [1, 2, 7, 1000, bytes.len()] {
            let before = LOOKED_AT.get();
            assert_eq!(decode_in_pieces(&mut Decoder::new(), &bytes, size), 2);
            let looked_at = LOOKED_AT.get() - before;
            assert!(
                looked_at <= 2 * bytes.len(),
                "{looked_at} in pieces of {size}"
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
        assert!(decoder.connection.block.data.capacity() <= 2 * SMALL_BYTES);
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
