//! Carries an event stream from its body to its socket, once hyper has written the head.
//!
//! hyper keeps a read buffer of 8 KiB and its whole machinery for as long as a response lasts. An
//! event stream on HTTP/1.1 needs none of it: its head is out, each frame is one chunk, and all
//! that comes from the client is its goodbye. So the socket is taken from hyper and given, with
//! the response's body, to this small task. The body is polled as hyper would, through every layer
//! that is around it, and the bytes are the same. When the stream ends, the connection does.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::lifecycle::{ConnectionState, MAX_AHEAD_BYTES};

#[cfg(target_os = "linux")]
use crate::engine::Arrival;

use super::pulse::{Carried, Handover};
use super::socket::Transport;
use super::{Shared, connection};

/// After so many chunks other tasks get their turn.
const CHUNKS_PER_POLL: usize = 16;

/// Goes on with a stream: in the delivery engine, or in a task of its own.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    state: Arc<ConnectionState>,
    peer: Option<SocketAddr>,
    handover: Handover,
) {
    let Handover {
        transport,
        permit,
        carried,
        keeps_alive,
    } = handover;
    let body = match carried {
        Carried::Body(body) => body,
        #[cfg(target_os = "linux")]
        Carried::Offer(offer) => {
            if let Some(socket) = transport.into_std() {
                shared.engine.take(Arrival {
                    offer: *offer,
                    socket,
                    permit,
                });
            }
            return;
        }
    };
    let mut carry = Carry {
        body: Some(body),
        transport,
        state,
        chunk: Chunk::EMPTY,
        ahead: Vec::new(),
        write_stall: shared.timeouts.write_stall,
        stalled: None,
        cut: Box::pin(shared.cut.clone().cancelled_owned()),
    };
    let shared = Arc::clone(shared);
    let lifecycle = shared.lifecycle.clone();
    let run = async move {
        let end = (&mut carry).await;
        if matches!(end, End::Well) && keeps_alive && !shared.lifecycle.is_stopping() {
            let Carry {
                transport, ahead, ..
            } = carry;
            connection::spawn_again(&shared, transport, ahead, peer, permit);
        }
    };
    lifecycle.tracker().spawn(lifecycle.scope(run));
}

/// How it ended.
enum End {
    /// With the last chunk.
    Well,
    /// The client left, or the stream failed.
    Cut,
}

/// One event stream and its socket.
struct Carry {
    body: Option<Body>,
    transport: Transport,
    state: Arc<ConnectionState>,
    chunk: Chunk,
    /// What the client has sent meanwhile: the begin of its next request, at best.
    ahead: Vec<u8>,
    write_stall: Duration,
    /// Exists while the socket takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Future for Carry {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let end = if self.cut.as_mut().poll(cx).is_ready() {
            End::Cut
        } else {
            match ready!(self.poll_all(cx)) {
                Ok(end) => end,
                Err(error) => {
                    self.settle(&error);
                    End::Cut
                }
            }
        };
        // The account of the stream is settled before its socket closes.
        self.body = None;
        Poll::Ready(end)
    }
}

impl Carry {
    /// Until the stream has ended and its last byte is out, or it cannot go on.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        self.watch(cx)?;
        for _ in 0..CHUNKS_PER_POLL {
            ready!(self.poll_chunk(cx))?;
            let Some(body) = &mut self.body else {
                return Poll::Ready(Ok(End::Well));
            };
            let polled = Pin::new(body).poll_frame(cx);
            ready!(self.take_frame(polled))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Makes a chunk of what the body gave.
    fn take_frame(
        &mut self,
        polled: Poll<Option<Result<Frame<Bytes>, axum::Error>>>,
    ) -> Poll<io::Result<()>> {
        match ready!(polled) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    self.chunk = Chunk::of(data);
                }
            }
            // Without its last chunk the client can tell the stream from a finished one.
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => {
                self.body = None;
                self.chunk = Chunk::LAST;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is left of the chunk; late if the socket takes nothing for too long.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.chunk.is_written() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let before = self.transport.written();
            let written = if self.chunk.is_written() {
                flush(&mut self.transport, cx)
            } else {
                Pin::new(&mut self.transport).poll_write_vectored(cx, &self.chunk.slices())
            };
            if self.transport.written() != before {
                self.stalled = None;
            }
            match written? {
                Poll::Ready(_) if self.chunk.is_written() => break,
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => self.chunk.advance(count),
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        self.stalled = None;
        self.chunk = Chunk::EMPTY;
        self.state.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(late) = Instant::now().checked_add(self.write_stall) else {
            return Poll::Pending;
        };
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(late)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads on, since what comes is the client's goodbye.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let mut space = [MaybeUninit::uninit(); 512];
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.transport).poll_read(cx, &mut buf)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) if buf.filled().is_empty() => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Poll::Ready(()) => self.ahead.extend_from_slice(buf.filled()),
            }
            if self.ahead.len() > MAX_AHEAD_BYTES {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Settles what the end means for the stream's account, before its body is dropped.
    fn settle(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.state.note_timed_out();
        } else {
            self.state.note_gone();
        }
    }
}

/// A flush in the shape of a write that took nothing.
fn flush(transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    Pin::new(transport).poll_flush(cx).map_ok(|()| 0)
}

/// One chunk of HTTP/1.1 (RFC 9112, section 7.1) that is being written.
struct Chunk {
    head: [u8; Self::HEAD],
    head_len: u8,
    data: Bytes,
    tail: &'static [u8],
    written: usize,
}

impl Chunk {
    /// A length in hexadecimal and CRLF.
    const HEAD: usize = 18;

    /// Nothing to write.
    const EMPTY: Self = Self::bare(b"");

    /// The chunk that ends a body.
    const LAST: Self = Self::bare(b"0\r\n\r\n");

    const fn bare(tail: &'static [u8]) -> Self {
        Self {
            head: [0; Self::HEAD],
            head_len: 0,
            data: Bytes::new(),
            tail,
            written: 0,
        }
    }

    fn of(data: Bytes) -> Self {
        let mut head = [0; Self::HEAD];
        let mut rest = &mut head[..];
        // The longest length has 16 digits, so the room is enough.
        let _ = io::Write::write_fmt(&mut rest, format_args!("{:x}\r\n", data.len()));
        let left = rest.len();
        let head_len = (Self::HEAD - left) as u8;
        Self {
            head,
            head_len,
            data,
            tail: b"\r\n",
            written: 0,
        }
    }

    fn parts(&self) -> [&[u8]; 3] {
        [
            &self.head[..usize::from(self.head_len)],
            &self.data,
            self.tail,
        ]
    }

    /// What is left to write.
    fn slices(&self) -> [IoSlice<'_>; 3] {
        let mut skip = self.written;
        self.parts().map(|part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            IoSlice::new(&part[skipped..])
        })
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
    }

    fn is_written(&self) -> bool {
        self.written == self.parts().iter().map(|part| part.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(chunk: &Chunk) -> Vec<u8> {
        chunk
            .slices()
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn a_chunk_is_its_length_its_data_and_a_line_end_wherever_a_write_stops() {
        let expected = b"1f\r\n0123456789012345678901234567890\r\n";
        for stop in 0..=expected.len() {
            let mut chunk = Chunk::of(Bytes::from_static(b"0123456789012345678901234567890"));
            chunk.advance(stop);
            assert_eq!(rest(&chunk), expected[stop..]);
            assert_eq!(chunk.is_written(), stop == expected.len());
        }
        assert_eq!(rest(&Chunk::LAST), b"0\r\n\r\n");
        assert!(Chunk::EMPTY.is_written());
    }
}
