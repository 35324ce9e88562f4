//! Takes HTTP/1.1 off an event stream: the head, and the chunks if there are any.
//!
//! Pure: bytes in any pieces go in, the stream's own bytes come out.

/// A head of a peer is never longer than this.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The part of the response to which the next byte belongs (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyPosition {
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
    position: BodyPosition,
    head: Vec<u8>,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            position: BodyPosition::Head,
            head: Vec::new(),
        }
    }

    /// For a response whose head and framing others have taken off.
    pub(crate) fn of_body() -> Self {
        Self {
            position: BodyPosition::Raw,
            head: Vec::new(),
        }
    }

    /// Whether the whole head has come.
    pub(crate) fn has_head(&self) -> bool {
        self.position != BodyPosition::Head
    }

    /// Whether the last chunk has come.
    pub(crate) fn is_ended(&self) -> bool {
        self.position == BodyPosition::Ended
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
            match self.position {
                BodyPosition::Raw => return payload(bytes),
                BodyPosition::Data(left) => {
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    payload(now)?;
                    bytes = later;
                    self.position = match left - now.len() {
                        0 => BodyPosition::DataLineEnd,
                        left => BodyPosition::Data(left),
                    };
                    continue;
                }
                BodyPosition::Head => self.head(first)?,
                BodyPosition::Size(size) => self.position = size_after(size, first)?,
                // The last chunk's own blank line is all that follows it: no trailers are sent.
                BodyPosition::SizeLineEnd(0) => self.position = BodyPosition::Ended,
                BodyPosition::SizeLineEnd(size) => self.position = BodyPosition::Data(size),
                BodyPosition::DataLineEnd if first == b'\n' => {
                    self.position = BodyPosition::Size(0)
                }
                BodyPosition::DataLineEnd | BodyPosition::Ended => {}
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
        self.position = if head.contains("transfer-encoding: chunked") {
            BodyPosition::Size(0)
        } else {
            BodyPosition::Raw
        };
        Ok(())
    }
}

/// The position after one more byte of a chunk's size line.
fn size_after(size: usize, byte: u8) -> Result<BodyPosition, String> {
    match (byte as char).to_digit(16) {
        Some(digit) if size < usize::MAX >> 8 => Ok(BodyPosition::Size(size << 4 | digit as usize)),
        None if byte == b'\r' => Ok(BodyPosition::SizeLineEnd(size)),
        _ => Err(format!("byte {byte:#04x} in a chunk's size")),
    }
}
