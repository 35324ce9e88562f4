//! Writes one HTTP/1.1 stream: chunk framing, the rest of a write that the socket has not taken, and the stall.
//!
//! All drivers of this crate write through a [`ChunkWriter`]. It holds one thing at a time: the rest of a write. While
//! there is a rest the body is not asked for more, so a client that reads slowly costs one piece and never delays
//! another.

use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// The chunk that ends a body (RFC 9112, section 7.1).
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// At most this many bytes are read and thrown away; the rest waits in the kernel.
pub(crate) const MAX_DISCARDED_BYTES: usize = 1 << 20;

/// How long a client may take to close its side after the end of its stream. If the socket closed at once, unread
/// bytes of the client would cause a reset, which can overtake the last event.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// A connected socket, perhaps under TLS, as a chunk writer uses it.
pub(crate) trait PollSocket {
    /// Takes bytes to be sent.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Ready when the socket has taken everything that was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what the client has sent; zero at its end.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Closes the sending side in good order.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes that the socket has taken so far, where TLS has a buffer of its own: bytes in that buffer are no
    /// progress. `None` where there is no such buffer.
    fn taken(&self) -> Option<u64> {
        None
    }
}

/// One stream's socket, and what it has not taken.
#[derive(Debug)]
pub(crate) struct ChunkWriter<W> {
    socket: W,
    /// Present while the socket takes nothing.
    unsent: Option<Box<PendingWrite>>,
}

#[derive(Debug)]
struct PendingWrite {
    bytes: Bytes,
    /// When the socket last took something.
    since: Instant,
}

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteStatus {
    All,
    /// The socket takes no more for now.
    Blocked,
}

/// Why a stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFailure {
    Disconnected,
    /// The client acknowledges nothing any more.
    TimedOut,
    /// The client may still be connected; the failure is in the server.
    Internal,
}

impl From<&io::Error> for SendFailure {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Disconnected,
        }
    }
}

impl<W: PollSocket> ChunkWriter<W> {
    pub(crate) fn new(socket: W) -> Self {
        Self {
            socket,
            unsent: None,
        }
    }

    pub(crate) fn socket(&self) -> &W {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut W {
        &mut self.socket
    }

    pub(crate) fn into_socket(self) -> W {
        self.socket
    }

    /// Whether a rest waits, so that nothing else may be sent.
    pub(crate) fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Since when the socket has taken nothing, if a rest waits.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.unsent.as_ref().map(|unsent| unsent.since)
    }

    /// Sends bytes; what the socket does not take is kept, by `rest` from where it stopped.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        now: Instant,
        rest: impl FnOnce(usize) -> Bytes,
    ) -> io::Result<WriteStatus> {
        debug_assert!(self.unsent.is_none(), "a rest is sent first");
        let mut taken = 0;
        while taken < bytes.len() {
            match self.socket.poll_write(cx, &bytes[taken..]) {
                Poll::Ready(count) => taken += written(count?)?,
                Poll::Pending => break,
            }
        }
        if taken == bytes.len() && self.socket.poll_flush(cx)?.is_ready() {
            return Ok(WriteStatus::All);
        }
        let bytes = match taken == bytes.len() {
            true => Bytes::new(),
            false => rest(taken),
        };
        self.unsent = Some(Box::new(PendingWrite { bytes, since: now }));
        Ok(WriteStatus::Blocked)
    }

    /// Writes the bytes that the socket did not take.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<WriteStatus> {
        let Some(unsent) = &mut self.unsent else {
            return Ok(WriteStatus::All);
        };
        let (before, length) = (self.socket.taken(), unsent.bytes.len());
        let is_flushed = loop {
            let step = if unsent.bytes.is_empty() {
                self.socket.poll_flush(cx).map_ok(|()| None)
            } else {
                self.socket.poll_write(cx, &unsent.bytes).map_ok(Some)
            };
            match step {
                Poll::Ready(Ok(Some(count))) => {
                    let _ = unsent.bytes.split_to(written(count)?);
                }
                Poll::Ready(Ok(None)) => break true,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break false,
            }
        };
        if is_flushed {
            self.unsent = None;
            return Ok(WriteStatus::All);
        }
        let has_advanced = match before {
            Some(_) => self.socket.taken() != before,
            None => unsent.bytes.len() < length,
        };
        if has_advanced {
            unsent.since = now;
        }
        Ok(WriteStatus::Blocked)
    }

    /// Reads and throws away what the client sends, as long as the sum stays below `bound`. What exceeds it waits in the
    /// kernel.
    pub(crate) fn discard(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        sum: &mut usize,
        bound: usize,
    ) -> Result<(), SendFailure> {
        while *sum < bound {
            match self.socket.poll_read(cx, space) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(SendFailure::Disconnected),
                Poll::Ready(Ok(count)) => *sum += count,
                Poll::Ready(Err(error)) => return Err(SendFailure::from(&error)),
            }
        }
        Ok(())
    }

    /// Closes the sending side. The next read returns its errors.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = ready!(self.socket.poll_shutdown(cx));
        Poll::Ready(())
    }
}

fn written(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

/// Appends bytes as one chunk; none make no chunk, since that would be the last one.
pub(crate) fn append_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        // Writing to a vector does not fail.
        let _ = write!(out, "{:x}\r\n", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_states_its_size_and_nothing_is_no_chunk() {
        let mut out = Vec::new();
        append_chunk(b"", &mut out);
        append_chunk(&[b'x'; 26], &mut out);
        let mut expected = b"1a\r\n".to_vec();
        expected.extend_from_slice(&[b'x'; 26]);
        expected.extend_from_slice(b"\r\n");
        assert_eq!(out, expected);
    }

    /// Takes this many bytes, then none until it is given room.
    #[derive(Debug, Default)]
    struct Narrow {
        room: usize,
        got: Vec<u8>,
    }

    impl PollSocket for Narrow {
        fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.got.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_rest_goes_on_where_the_socket_stopped_wherever_that_is() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let bytes: Vec<u8> = (0..20).collect();
        let now = Instant::now();
        for first in 0..20 {
            for step in 1..5 {
                let mut writer = ChunkWriter::new(Narrow::default());
                writer.socket_mut().room = first;
                let sent = writer.send(&mut cx, &bytes, now, |taken| {
                    Bytes::copy_from_slice(&bytes[taken..])
                });
                assert_eq!(sent.unwrap(), WriteStatus::Blocked);
                while writer.is_blocked() {
                    writer.socket_mut().room = step;
                    let _ = writer.flush(&mut cx, now).unwrap();
                }
                assert_eq!(writer.into_socket().got, bytes);
            }
        }
    }

    #[test]
    fn a_stall_counts_from_the_last_byte_that_the_socket_took() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let start = Instant::now();
        let at = |seconds| start + std::time::Duration::from_secs(seconds);
        let mut writer = ChunkWriter::new(Narrow::default());
        let _ = writer.send(&mut cx, b"abc", at(0), |_| Bytes::from_static(b"abc"));
        let _ = writer.flush(&mut cx, at(5));
        assert_eq!(writer.blocked_since(), Some(at(0)));
        writer.socket_mut().room = 1;
        let _ = writer.flush(&mut cx, at(6));
        assert_eq!(writer.blocked_since(), Some(at(6)));
    }
}
