//! How a response body is framed, and a pure reader that undoes the framing.
//!
//! RFC 9112, sections 6 and 7. Bytes go in as they arrive; out come whole HTTP chunks, so that a test
//! can see what the server wrote as one.

use bytes::{Buf, Bytes, BytesMut};

use crate::head::Head;

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// `Transfer-Encoding: chunked`: ends with a chunk of size zero.
    Chunked,
    /// `Content-Length`: the bytes that are still to come; zero is the end.
    Length(u64),
    /// Ends with the connection.
    UntilClose,
}

impl BodyFraming {
    /// The framing that a head announces (RFC 9112, section 6.3).
    pub(crate) fn of(head: &Head, was_head_request: bool) -> Self {
        let bodiless = was_head_request || head.status < 200 || matches!(head.status, 204 | 304);
        if bodiless {
            return Self::Length(0);
        }
        let chunked = head
            .all("transfer-encoding")
            .iter()
            .any(|value| value.to_ascii_lowercase().ends_with("chunked"));
        if chunked {
            return Self::Chunked;
        }
        match head.header("content-length") {
            Some(length) => Self::Length(
                length
                    .parse()
                    .unwrap_or_else(|_| panic!("content-length is no number: {length:?}")),
            ),
            None => Self::UntilClose,
        }
    }
}

/// One step of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole HTTP chunk, or the bytes that have arrived of a body without chunks.
    Data(Bytes),
    /// The body has ended as its framing says.
    End,
    /// More bytes are needed.
    Wait,
}

/// Takes the next piece of a body out of `buffer`.
///
/// # Panics
///
/// When the bytes break the chunked coding.
pub(crate) fn next_piece(framing: &mut BodyFraming, buffer: &mut BytesMut) -> Piece {
    match framing {
        BodyFraming::Chunked => next_chunk(buffer),
        BodyFraming::Length(0) => Piece::End,
        BodyFraming::Length(left) => {
            let take = usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            if take == 0 {
                return Piece::Wait;
            }
            *left -= take as u64;
            Piece::Data(buffer.split_to(take).freeze())
        }
        BodyFraming::UntilClose if buffer.is_empty() => Piece::Wait,
        BodyFraming::UntilClose => Piece::Data(buffer.split().freeze()),
    }
}

/// What has arrived of a chunk that will never be complete.
pub(crate) fn torn_piece(framing: BodyFraming, buffer: &mut BytesMut) -> Bytes {
    if framing == BodyFraming::Chunked
        && let Some(line) = find(buffer, b"\r\n")
    {
        let size = chunk_size(&buffer[..line]);
        buffer.advance(line + 2);
        let left = size.min(buffer.len());
        return buffer.split_to(left).freeze();
    }
    buffer.clear();
    Bytes::new()
}

/// The next whole chunk, the end, or the need for more bytes.
fn next_chunk(buffer: &mut BytesMut) -> Piece {
    let Some(line) = find(buffer, b"\r\n") else {
        return Piece::Wait;
    };
    let size = chunk_size(&buffer[..line]);
    let start = line + 2;
    if size == 0 {
        // The trailer section: fields, if any, then an empty line.
        let trailer_end = if buffer[start..].starts_with(b"\r\n") {
            Some(start + 2)
        } else {
            find(&buffer[start..], b"\r\n\r\n").map(|at| start + at + 4)
        };
        return match trailer_end {
            Some(end) => {
                buffer.advance(end);
                Piece::End
            }
            None => Piece::Wait,
        };
    }
    let end = start + size;
    if buffer.len() < end + 2 {
        return Piece::Wait;
    }
    assert!(
        buffer[end..].starts_with(b"\r\n"),
        "a chunk of {size} bytes is not followed by CRLF: {}",
        buffer.escape_ascii()
    );
    buffer.advance(start);
    let data = buffer.split_to(size).freeze();
    buffer.advance(2);
    Piece::Data(data)
}

/// The size in a chunk's first line; extensions after `;` are ignored.
fn chunk_size(line: &[u8]) -> usize {
    let digits = line
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .unwrap_or_else(|| {
            panic!(
                "expected a chunk size, found {:?}",
                line.escape_ascii().to_string()
            )
        })
}

/// The index at which `needle` starts in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(framing: BodyFraming, input: &[&[u8]]) -> Vec<Piece> {
        let (mut framing, mut buffer, mut out) = (framing, BytesMut::new(), Vec::new());
        for part in input {
            buffer.extend_from_slice(part);
            loop {
                let piece = next_piece(&mut framing, &mut buffer);
                let done = matches!(piece, Piece::End | Piece::Wait);
                if piece != Piece::Wait {
                    out.push(piece);
                }
                if done {
                    break;
                }
            }
        }
        out
    }

    fn data(text: &'static str) -> Piece {
        Piece::Data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn chunks_come_out_whole_however_the_bytes_are_split() {
        let wire = b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n";
        let want = [data("hello"), data("!"), Piece::End];
        assert_eq!(pieces(BodyFraming::Chunked, &[wire]), want);
        for at in 0..wire.len() {
            let (left, right) = wire.split_at(at);
            assert_eq!(
                pieces(BodyFraming::Chunked, &[left, right]),
                want,
                "split at {at}"
            );
        }
    }

    #[test]
    fn trailers_belong_to_the_end() {
        let wire: &[u8] = b"0\r\nx-sum: 1\r\n\r\n";
        assert_eq!(pieces(BodyFraming::Chunked, &[wire]), [Piece::End]);
        assert_eq!(pieces(BodyFraming::Chunked, &[&wire[..wire.len() - 1]]), []);
    }

    #[test]
    fn a_missing_last_chunk_is_no_end() {
        assert_eq!(
            pieces(BodyFraming::Chunked, &[b"2\r\nhi\r\n"]),
            [data("hi")]
        );
    }

    #[test]
    fn a_length_ends_the_body_and_leaves_the_rest() {
        let mut framing = BodyFraming::Length(2);
        let mut buffer = BytesMut::from(&b"hiHTTP"[..]);
        assert_eq!(next_piece(&mut framing, &mut buffer), data("hi"));
        assert_eq!(next_piece(&mut framing, &mut buffer), Piece::End);
        assert_eq!(&buffer[..], b"HTTP");
    }

    #[test]
    fn a_torn_chunk_gives_the_bytes_that_came() {
        let mut buffer = BytesMut::from(&b"a\r\nhello"[..]);
        assert_eq!(
            next_piece(&mut BodyFraming::Chunked, &mut buffer),
            Piece::Wait
        );
        assert_eq!(torn_piece(BodyFraming::Chunked, &mut buffer), "hello");
    }

    #[test]
    #[should_panic(expected = "expected a chunk size")]
    fn bytes_that_are_no_chunk_panic() {
        pieces(BodyFraming::Chunked, &[b"data: hi\r\n"]);
    }
}
