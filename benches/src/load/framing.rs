//! Takes HTTP/1.1 off an event stream: the head, and the chunks if there are any.
//!
//! Pure: bytes in any pieces go in, the stream's own bytes come out.

/// A head of a peer is never longer than this.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The part of the response to which the next byte belongs (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// A body that ends with its connection.
    Raw,
    Size(usize),
    SizeLineEnd(usize),
    Data(usize),
    DataLineEnd,
    Ended,
}

/// The state of one response.
#[derive(Debug)]
pub(crate) struct Framing {
    place: Place,
    head: Vec<u8>,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Head,
            head: Vec::new(),
        }
    }

    /// For a response whose head and framing others have taken off.
    pub(crate) fn of_body() -> Self {
        Self {
            place: Place::Raw,
            head: Vec::new(),
        }
    }

    /// Whether the whole head has come.
    pub(crate) fn has_head(&self) -> bool {
        self.place != Place::Head
    }

    /// Whether the last chunk has come.
    pub(crate) fn is_ended(&self) -> bool {
        self.place == Place::Ended
    }

    /// Takes bytes as they arrive, and hands on those of the body.
    ///
    /// # Errors
    ///
    /// The head is not that of an event stream with status 200, the chunks are broken, or
    /// `payload` fails.
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        mut payload: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.place {
                Place::Raw => return payload(bytes),
                Place::Data(left) => {
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    payload(now)?;
                    bytes = later;
                    self.place = match left - now.len() {
                        0 => Place::DataLineEnd,
                        left => Place::Data(left),
                    };
                    continue;
                }
                Place::Head => self.head(first)?,
                Place::Size(size) => self.place = size_after(size, first)?,
                // The last chunk's own blank line is all that follows it: no trailers are sent.
                Place::SizeLineEnd(0) => self.place = Place::Ended,
                Place::SizeLineEnd(size) => self.place = Place::Data(size),
                Place::DataLineEnd if first == b'\n' => self.place = Place::Size(0),
                Place::DataLineEnd | Place::Ended => {}
            }
            bytes = rest;
        }
        Ok(())
    }

    fn head(&mut self, byte: u8) -> Result<(), String> {
        self.head.push(byte);
        if self.head.len() > MAX_HEAD_BYTES {
            return Err("a head without an end".to_owned());
        }
        if !self.head.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).to_lowercase();
        if !head.starts_with("http/1.1 200 ") || !head.contains("content-type: text/event-stream") {
            return Err(format!("no event stream: {head:?}"));
        }
        self.place = if head.contains("transfer-encoding: chunked") {
            Place::Size(0)
        } else {
            Place::Raw
        };
        Ok(())
    }
}

/// The position after one more byte of a chunk's size line.
fn size_after(size: usize, byte: u8) -> Result<Place, String> {
    match (byte as char).to_digit(16) {
        Some(digit) if size < usize::MAX >> 8 => Ok(Place::Size(size << 4 | digit as usize)),
        None if byte == b'\r' => Ok(Place::SizeLineEnd(size)),
        _ => Err(format!("byte {byte:#04x} in a chunk's size")),
    }
}
