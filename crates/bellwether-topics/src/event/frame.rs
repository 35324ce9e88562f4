//! [`Frame`]: an event encoded once, with its id already in it, shared by every reader.
//!
//! The bytes lie in one allocation as an HTTP/1.1 chunk: the size line, the event, CRLF. A server that writes to
//! sockets itself sends [`Frame::chunk`] as it is; an ordinary body takes [`Frame::bytes`], a slice of the same memory.
//!
//! Most of the work happens in [`Draft`], before the log's lock is taken. The event is encoded between two free areas,
//! and under the lock only the size line and the id are written into them, about seventy bytes. The id is the last
//! line: some clients take over an id as soon as its line ends, and would lose the event to a cut between id and data.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bellwether_wire::{EventId, ServerSentEvent};
use bytes::Bytes;

use crate::event::cursor::{Cursor, MAX_CURSOR_BYTES};

/// Free bytes in front of the event: a size of up to 16 hexadecimal digits and CRLF.
const HEAD_BYTES: usize = 16 + 2;
/// Free bytes behind the event: `id: `, the cursor, LF, the blank line, CRLF.
const TAIL_BYTES: usize = 4 + MAX_CURSOR_BYTES + 1 + 1 + 2;
const CRLF: &[u8; 2] = b"\r\n";

/// What a frame costs beyond its buffer: the shared head, two entries in the history, the allocator's share.
pub(crate) const FRAME_OVERHEAD_BYTES: usize = 320;

/// An event encoded once, as it is in a topic's log. A clone shares the memory.
///
/// ```
/// use bellwether_topics::{Topics, ServerSentEvent};
///
/// let topics = Topics::new();
/// let mut reader = topics.topic("news")?.subscribe().from_start().open()?;
/// let id = topics.topic("news")?.publish(&ServerSentEvent::text("hello"))?.id().unwrap();
///
/// let mut frames = Vec::new();
/// reader.try_frames(65_536, &mut frames);
/// let frame = frames[0].frame().unwrap();
/// assert_eq!(frame.bytes(), format!("data: hello\nid: {id}\n\n"));
/// assert_eq!(frame.chunk(), &format!("{:x}\r\ndata: hello\nid: {id}\n\n\r\n", frame.len()));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone)]
pub struct Frame(Arc<FrameInner>);

struct FrameInner {
    cursor: Cursor,
    topic: Arc<str>,
    conflation_key: Option<Arc<str>>,
    /// Size line, event, CRLF.
    chunk: Bytes,
    /// Where the event begins in `chunk`.
    start: usize,
    entered_at: Instant,
    /// The memory of the frame in bytes, for the bound of the history.
    weight: usize,
    /// Whether the same topic has a later frame with the same conflation key. Written and read under the log's lock.
    is_superseded: AtomicBool,
}

impl Frame {
    /// The position of the event in its log.
    pub fn cursor(&self) -> Cursor {
        self.0.cursor
    }

    /// The cursor as the event's id, which is also in the bytes.
    pub fn id(&self) -> EventId {
        self.0.cursor.id()
    }

    /// The name of the topic that the event was published to.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The event's name. `None` for an event without one, which clients dispatch as `message`.
    ///
    /// It is read from the encoded event, without a copy, at a cost of its length up to that line. A name that is not
    /// UTF-8 counts as none; no encoder of ours writes one.
    ///
    /// ```
    /// use bellwether_topics::{ServerSentEvent, Topics};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let jobs = Topics::new().topic("jobs")?;
    /// let mut reader = jobs.subscribe().open()?;
    /// jobs.publish(&ServerSentEvent::text("100 %").event("done"))?.await?;
    ///
    /// let frame = reader.next().await.unwrap().into_frame().unwrap();
    /// assert_eq!(frame.event_name(), Some("done"));
    /// assert_eq!(frame.data(), "100 %");
    /// # Ok::<(), bellwether_topics::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn event_name(&self) -> Option<&str> {
        // The last one counts (HTML, section 9.2.6), and an empty one is none.
        let name = fields(self.as_bytes(), b"event").last()?;
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
    }

    /// The event's data, as clients get it: its lines with a line feed between them.
    ///
    /// Data of one line is borrowed from the encoded event. Data of several lines is a copy, because each of its lines
    /// has the name of the field in front of it. Bytes that are not UTF-8 are replaced, as clients do.
    ///
    /// ```
    /// use std::borrow::Cow;
    /// use bellwether_topics::{ServerSentEvent, Topics};
    ///
    /// let poems = Topics::new().topic("poems")?;
    /// let mut reader = poems.subscribe().from_start().open()?;
    /// for text in ["one line", "two\nlines"] {
    ///     drop(poems.publish(&ServerSentEvent::text(text))?);
    /// }
    ///
    /// let mut deliveries = Vec::new();
    /// reader.try_frames(65_536, &mut deliveries);
    /// let data = |index: usize| deliveries[index].frame().unwrap().data();
    /// assert!(matches!(data(0), Cow::Borrowed("one line")));
    /// assert_eq!(data(1), "two\nlines");
    /// # Ok::<(), bellwether_topics::Error>(())
    /// ```
    pub fn data(&self) -> Cow<'_, str> {
        let mut lines = fields(self.as_bytes(), b"data");
        let first = lines.next().unwrap_or_default();
        let Some(second) = lines.next() else {
            return String::from_utf8_lossy(first);
        };
        let mut data = first.to_vec();
        for line in [second].into_iter().chain(lines) {
            data.push(b'\n');
            data.extend_from_slice(line);
        }
        Cow::Owned(match String::from_utf8(data) {
            Ok(data) => data,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The key under which a later event replaces this one for a reader that is behind, if one was given.
    pub fn conflation_key(&self) -> Option<&str> {
        self.0.conflation_key.as_deref()
    }

    /// The encoded event, from its first line to its blank line. No copy.
    pub fn bytes(&self) -> Bytes {
        self.0
            .chunk
            .slice(self.0.start..self.0.chunk.len() - CRLF.len())
    }

    /// The encoded event, borrowed.
    pub fn as_bytes(&self) -> &[u8] {
        let chunk = &self.0.chunk;
        chunk
            .get(self.0.start..chunk.len() - CRLF.len())
            .unwrap_or_default()
    }

    /// The event as one HTTP/1.1 chunk (RFC 9112 7.1): its size in hexadecimal, CRLF, the event, CRLF.
    pub fn chunk(&self) -> &Bytes {
        &self.0.chunk
    }

    /// The size of the encoded event in bytes, without the chunk's framing.
    pub fn len(&self) -> usize {
        self.0.chunk.len() - CRLF.len() - self.0.start
    }

    /// Always false: an event in a log has data.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// When the event entered this process's log: at its publish, or when the broker brought it.
    pub fn entered_at(&self) -> Instant {
        self.0.entered_at
    }

    pub(crate) fn weight(&self) -> usize {
        self.0.weight
    }

    pub(crate) fn shared_conflation_key(&self) -> Option<&Arc<str>> {
        self.0.conflation_key.as_ref()
    }

    pub(crate) fn supersede(&self) {
        self.0.is_superseded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.0.is_superseded.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Frame {
    /// Without the data, which is never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("topic", &self.0.topic)
            .field("cursor", &format_args!("{}", self.0.cursor))
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The values of a field of an encoded event, in their order.
///
/// A broker may bring events that another encoder has written, so all that the standard allows is read: any end of line,
/// a missing space, a field without a colon.
fn fields<'a>(event: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    // An empty line between CR and LF is no field.
    let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        match rest.strip_prefix(b":") {
            Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
            None => rest.is_empty().then_some(rest),
        }
    })
}

/// An encoded event that has no position in a log yet.
#[derive(Debug)]
pub(crate) struct Draft {
    /// `HEAD_BYTES` free bytes, then the event with its blank line. The capacity includes the tail's free bytes.
    buffer: Vec<u8>,
    conflation_key: Option<Arc<str>>,
}

impl Draft {
    /// Encodes by a function that appends to a buffer; `hint` is about the number of bytes that it will append.
    pub(crate) fn encode<E>(
        hint: usize,
        conflation_key: Option<&str>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + hint + TAIL_BYTES);
        buffer.resize(HEAD_BYTES, 0);
        encode(&mut buffer)?;
        buffer.reserve_exact(TAIL_BYTES);
        let needed = buffer.len() + TAIL_BYTES;
        if buffer.capacity() > needed + needed / 4 + 128 {
            buffer.shrink_to(needed);
        }
        Ok(Self {
            buffer,
            conflation_key: conflation_key.map(Arc::from),
        })
    }

    /// The draft of an event that is already encoded, for instance by another node.
    pub(crate) fn of_encoded(event: &[u8], conflation_key: Option<&str>) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + event.len() + TAIL_BYTES);
        buffer.resize(HEAD_BYTES, 0);
        buffer.extend_from_slice(event);
        Self {
            buffer,
            conflation_key: conflation_key.map(Arc::from),
        }
    }

    /// The encoded event, which has no id.
    pub(crate) fn event(&self) -> &[u8] {
        self.buffer.get(HEAD_BYTES..).unwrap_or_default()
    }

    /// Gives the event its position: writes the id behind its last line, and the chunk's size in front of it.
    pub(crate) fn into_frame(self, cursor: Cursor, topic: Arc<str>, now: Instant) -> Frame {
        let Self {
            mut buffer,
            conflation_key,
        } = self;
        // The blank line moves behind the id.
        if buffer.ends_with(b"\n\n") {
            buffer.pop();
        }
        buffer.extend_from_slice(b"id: ");
        cursor.append_to(&mut buffer);
        buffer.extend_from_slice(b"\n\n");
        let len = buffer.len() - HEAD_BYTES;
        buffer.extend_from_slice(CRLF);
        let chunk_start = write_size(&mut buffer[..HEAD_BYTES], len);

        let weight = buffer.capacity()
            + conflation_key.as_ref().map_or(0, |key| key.len())
            + FRAME_OVERHEAD_BYTES;
        let chunk = Bytes::from(buffer).slice(chunk_start..);
        Frame(Arc::new(FrameInner {
            cursor,
            topic,
            conflation_key,
            chunk,
            start: HEAD_BYTES - chunk_start,
            entered_at: now,
            weight,
            is_superseded: AtomicBool::new(false),
        }))
    }
}

/// Writes the size line at the end of the free bytes and returns where it starts.
fn write_size(room: &mut [u8], mut size: usize) -> usize {
    let mut at = room.len() - CRLF.len();
    room[at..].copy_from_slice(CRLF);
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[size % 16];
        size /= 16;
        if size == 0 {
            return at;
        }
    }
}

/// Encodes an event for a log, without its own id: the cursor becomes the id.
///
/// A log keeps only events with data: clients do not dispatch others, and some lose the id of one.
pub(crate) fn draft_of_event(
    event: &ServerSentEvent,
    conflation_key: Option<&str>,
) -> Result<Option<Draft>, bellwether_wire::EncodeError> {
    let hint = event.data().map_or(0, str::len) + 64;
    let draft = |event: &ServerSentEvent| {
        Draft::encode(hint, conflation_key, |out| event.encode_into(out)).map(Some)
    };
    match (event.data(), event.event_id()) {
        // The event has no data, or JSON that could not be serialized; encoding it shows which.
        (None, _) => event.encode().map(|_| None),
        (Some(_), None) => draft(event),
        (Some(data), Some(_)) => {
            let mut copy = ServerSentEvent::text(data);
            if let Some(name) = event.event_name() {
                copy = copy.event(name.clone());
            }
            if let Some(delay) = event.retry_delay() {
                copy = copy.retry(delay);
            }
            if let Some(comment) = event.comment_text() {
                copy = copy.comment(comment);
            }
            draft(&copy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::cursor::{Epoch, Offset};

    fn framed(draft: Draft) -> Frame {
        let cursor = Cursor {
            epoch: Epoch(1),
            offset: Offset::new(9),
            tag: 3,
        };
        draft.into_frame(cursor, Arc::from("t"), Instant::now())
    }

    #[test]
    fn the_cursor_takes_the_place_of_the_events_own_id() {
        let event = ServerSentEvent::text("a\nb")
            .id(7)
            .event(bellwether_wire::event_name!("n"))
            .comment("c");
        let frame = framed(draft_of_event(&event, None).unwrap().unwrap());
        assert_eq!(
            frame.bytes(),
            ": c\nevent: n\ndata: a\ndata: b\nid: 1.00000000001.9.000003\n\n"
        );
        assert_eq!(frame.bytes(), frame.as_bytes());
    }

    #[test]
    fn a_chunk_states_its_size_whatever_the_size() {
        for len in [0, 1, 15, 16, 200, 255, 256, 4095, 4096, 70_000] {
            let event = ServerSentEvent::text("x".repeat(len));
            let frame = framed(draft_of_event(&event, None).unwrap().unwrap());
            let mut expected = format!("{:x}\r\n", frame.len()).into_bytes();
            expected.extend_from_slice(&frame.bytes());
            expected.extend_from_slice(b"\r\n");
            assert_eq!(frame.chunk(), &expected);
        }
    }

    #[test]
    fn a_frame_shows_name_and_data_as_a_client_gets_them() {
        let texts = [
            "",
            "a",
            " a",
            "a: b",
            "a\nb",
            "a\n",
            "\n\n",
            "data: a\nevent: b",
            "\u{e9}\n\u{e9}",
        ];
        for text in texts {
            let event = ServerSentEvent::text(text).comment("event: c\ndata: c");
            let named = event.clone().event(bellwether_wire::event_name!("n"));
            for (event, name) in [(event, None), (named, Some("n"))] {
                let frame = framed(draft_of_event(&event, None).unwrap().unwrap());
                let bytes = frame.bytes();
                let decoded = bellwether_wire::Decoder::new().decode(&mut &bytes[..]);
                let decoded = decoded.unwrap().expect("an event");
                assert_eq!(frame.data(), decoded.data, "{text:?}");
                assert_eq!(frame.data(), text);
                assert_eq!(frame.event_name(), name);
                let is_borrowed = matches!(frame.data(), Cow::Borrowed(_));
                assert_eq!(is_borrowed, !text.contains('\n'), "{text:?}");
            }
        }
    }

    #[test]
    fn events_of_other_encoders_are_read_as_the_standard_says() {
        let frame = |event: &[u8]| framed(Draft::of_encoded(event, None));
        let other = frame(b"event:a\r\nevent:b\r\ndata\r\ndata:x\rdatum: y\ndata:  z\r\n\r\n");
        assert_eq!(other.event_name(), Some("b"));
        assert_eq!(other.data(), "\nx\n z");
        let broken = frame(b"event: \xff\ndata: \xff\n\n");
        assert_eq!((broken.event_name(), &*broken.data()), (None, "\u{fffd}"));
        assert_eq!(frame(b"event:\ndata:a\n\n").event_name(), None);
    }

    #[test]
    fn an_event_without_data_is_no_draft() {
        assert!(
            draft_of_event(&ServerSentEvent::new().comment("x"), None)
                .unwrap()
                .is_none()
        );
        assert!(draft_of_event(&ServerSentEvent::json(f64::NAN), None).is_err());
    }
}
