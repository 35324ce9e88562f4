//! Events to bytes, in one pass and into one buffer.
//!
//! The order of the lines is comment, event, retry, data, id. A reader sees what an event is before its data, and a
//! `retry:` holds even if the connection breaks within long data (it takes effect when its line ends, WHATWG HTML
//! 9.2.6). The id is last, because some clients take it over when its line ends: a cut between id and data would lose
//! them the event. Every line begins with the name of a field or a colon, so no output begins with a byte-order mark.

use bytes::Bytes;
use memchr::memchr2;

use crate::error::EncodeError;
use crate::event::{Data, Rest, ServerSentEvent};

impl ServerSentEvent {
    /// The event as it goes over the wire, in a buffer of its own.
    ///
    /// Lines end with LF, and the block ends with a blank line. Three cases have no blank line. A comment, a `retry:` or
    /// both are just their lines, because some clients fire an empty event when a blank line follows them; the blank
    /// line of the next event ends that block. An event with nothing set is no bytes at all.
    ///
    /// # Errors
    ///
    /// The value given to [`json`](Self::json) is no JSON, or the text given as a name or an id is invalid. No other
    /// event can fail.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(Bytes::from(out))
    }

    /// Appends what [`encode`](Self::encode) gives to a buffer.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode); then the buffer is left as it was.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let data = match &self.data {
            Data::None => None,
            Data::Text(text) => Some(text.as_bytes()),
            #[cfg(feature = "json")]
            Data::Failed(error) => return Err(EncodeError::from(error.clone())),
        };
        if let Some(mistake) = self.rest.as_ref().and_then(|rest| rest.mistake) {
            return Err(EncodeError::from(mistake));
        }
        out.reserve(self.size_hint());
        let mut is_block = data.is_some();
        if let Some(rest) = &self.rest {
            rest.encode_head_into(out);
            is_block |= rest.name.is_some() || rest.id.is_some();
        }
        if let Some(data) = data {
            write_data(data, out);
        }
        if let Some(id) = self.event_id() {
            write_field(b"id: ", id.as_bytes(), out);
        }
        if is_block {
            out.push(b'\n');
        }
        Ok(())
    }

    /// The exact size if comment and data are one line each, too little by a few bytes per further line.
    fn size_hint(&self) -> usize {
        let data = self
            .data_text()
            .map_or(0, |text| "data: \n".len() + text.len());
        data + self.rest.as_ref().map_or(0, |rest| rest.size_hint()) + 1
    }
}

impl Rest {
    /// Writes what stands before the data.
    fn encode_head_into(&self, out: &mut Vec<u8>) {
        if let Some(comment) = &self.comment {
            write_comment(comment.as_bytes(), out);
        }
        if let Some(name) = &self.name {
            write_field(b"event: ", name.as_bytes(), out);
        }
        if let Some(retry) = self.retry {
            write_field(
                b"retry: ",
                itoa::Buffer::new().format(retry).as_bytes(),
                out,
            );
        }
    }

    fn size_hint(&self) -> usize {
        let comment = self.comment.as_ref();
        let name = self.name.as_ref();
        let id = self.id.as_ref();
        comment.map_or(0, |text| ": \n".len() + text.len())
            + name.map_or(0, |name| "event: \n".len() + name.as_bytes().len())
            + id.map_or(0, |id| "id: \n".len() + id.as_bytes().len())
            + self.retry.map_or(0, |_| "retry: 2147483647\n".len())
    }
}

/// Writes a line of a field whose value is known to have no line break.
fn write_field(prefix: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Writes one `data:` line for each line of the text, also for empty ones at its end.
///
/// The space after the colon is always there: clients remove one, and a space of the data itself must survive that.
pub(crate) fn write_data(text: &[u8], out: &mut Vec<u8>) {
    for_each_line(text, |line| write_field(b"data: ", line, out));
}

fn write_comment(text: &[u8], out: &mut Vec<u8>) {
    for_each_line(text, |line| {
        // An empty comment is a lone colon, the shortest keep-alive there is.
        let prefix: &[u8] = if line.is_empty() { b":" } else { b": " };
        write_field(prefix, line, out);
    });
}

/// Calls back with each line of the text. CR, LF and CRLF are one break each; empty text is one empty line.
fn for_each_line<'a>(mut text: &'a [u8], mut line: impl FnMut(&'a [u8])) {
    while let Some(at) = memchr2(b'\r', b'\n', text) {
        let (before, rest) = text.split_at(at);
        line(before);
        let after = rest.strip_prefix(b"\r\n");
        text = after.or(rest.get(1..)).unwrap_or_default();
    }
    line(text);
}

/// Appends an event whose only field is data, a value as JSON, without any buffer in between.
///
/// The bytes are those of `ServerSentEvent::json(value).encode_into(out)`; this is the fast way to the same.
///
/// ```
/// let mut out = Vec::new();
/// bellwether_wire::encode_json_into(&["a", "b"], &mut out)?;
/// assert_eq!(out, b"data: [\"a\",\"b\"]\n\n");
/// # Ok::<(), bellwether_wire::EncodeError>(())
/// ```
///
/// # Errors
///
/// The value is no JSON (see [`ServerSentEvent::json`]); then the buffer is left as it was, also when the value's
/// `Serialize` panics.
#[cfg(feature = "json")]
pub fn encode_json_into<T: serde::Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut block = BlockWriter {
        start: out.len(),
        out,
        is_done: false,
    };
    block.out.extend_from_slice(b"data: ");
    let json_start = block.out.len();
    if crate::json::write(value, &mut *block.out)?.has_line_break {
        let json = block.out.split_off(json_start);
        block.out.truncate(block.start);
        write_data(&json, block.out);
    } else {
        block.out.push(b'\n');
    }
    block.out.push(b'\n');
    block.is_done = true;
    Ok(())
}

/// A block being written; takes its bytes back unless it gets done.
#[cfg(feature = "json")]
struct BlockWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    is_done: bool,
}

#[cfg(feature = "json")]
impl Drop for BlockWriter<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.out.truncate(self.start);
        }
    }
}
