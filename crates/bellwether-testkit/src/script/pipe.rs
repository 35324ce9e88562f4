//! [`Pipe`]: a connection in memory that can also be reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// The bytes on the way, about as many as a socket holds.
const PIPE_BYTES: usize = 64 * 1024;

/// One end of a connection in memory.
///
/// Dropping an end is a FIN for the other, unless it was reset.
#[derive(Debug)]
pub struct Pipe {
    stream: DuplexStream,
    is_reset: Arc<AtomicBool>,
}

impl Pipe {
    /// Both ends of a connection.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (one, other) = tokio::io::duplex(PIPE_BYTES);
        let is_reset = Arc::new(AtomicBool::new(false));
        let end = |stream| Self {
            stream,
            is_reset: Arc::clone(&is_reset),
        };
        (end(one), end(other))
    }

    /// Closes with a reset: the other end reads what is on the way, then an error.
    pub fn reset(self) {
        self.is_reset.store(true, Ordering::Release);
    }

    fn reset_error(&self) -> io::Result<()> {
        match self.is_reset.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(if is_end { self.reset_error() } else { Ok(()) })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
