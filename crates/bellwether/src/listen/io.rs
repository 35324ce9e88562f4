//! The socket as hyper sees it: replays what was read ahead, notes stalls, notices clients that have left.
//!
//! hyper stops reading while bytes that it has read wait in its buffer. One stray byte after the
//! request, or a pipelined one, therefore hides the end of the connection from it for as long as
//! an event stream lasts. Hyper flushes in every poll, though, so that is where this wrapper reads
//! ahead instead: into a bounded buffer that hyper gets later.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::admission::Permit;
use crate::send::{LINGER, MAX_AHEAD_BYTES, MAX_DISCARDED_BYTES};

use super::clock::ConnectionClock;
use super::connection_state::{ConnectionState, Direction};
use super::socket::Transport;

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A socket with its permit, reporting to the connection's [`ConnectionState`].
pub(super) struct Io {
    transport: Transport,
    permit: Permit,
    state: CloseNotifier,
    ahead: ReadAhead,
    protocol: Protocol,
    /// Hyper's last read found nothing, so it will be woken by whatever comes.
    is_read_armed: bool,
    is_stalled: bool,
    /// What the socket had taken at the last check.
    written: u64,
    /// Bytes of a request's body that were thrown away.
    drained: usize,
    /// Runs once the sending side of a connection with an unread body is closed.
    linger: Option<Pin<Box<Sleep>>>,
}

/// Bytes that were read before hyper asked for them.
#[derive(Default)]
struct ReadAhead {
    bytes: Vec<u8>,
    taken: usize,
}

impl ReadAhead {
    fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn take_into(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.waiting().len().min(buf.remaining());
        buf.put_slice(&self.waiting()[..count]);
        self.taken += count;
        if self.waiting().is_empty() {
            // Most connections never need the buffer again.
            *self = Self::default();
        }
    }

    /// Appends what the socket has; tells how many bytes, none at its end.
    fn fill(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(transport).poll_read(cx, &mut buf))?;
        self.bytes.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl Io {
    pub(super) fn new(transport: Transport, state: Arc<ConnectionState>, permit: Permit) -> Self {
        Self {
            transport,
            permit,
            state: CloseNotifier(state),
            ahead: ReadAhead::default(),
            protocol: Protocol::Http1,
            is_read_armed: false,
            is_stalled: false,
            written: 0,
            drained: 0,
            linger: None,
        }
    }

    /// With bytes that came before.
    pub(super) fn with_ahead(mut self, bytes: Vec<u8>) -> Self {
        self.ahead.bytes = bytes;
        self
    }

    /// The socket, its permit, and the bytes that were read ahead. For a socket that stays with HTTP.
    pub(super) fn into_parts(mut self) -> (Transport, Permit, Vec<u8>) {
        let ahead = self.ahead.waiting().to_vec();
        self.ahead = ReadAhead::default();
        (self.transport, self.permit, ahead)
    }

    /// Sets the protocol of the connection.
    pub(super) fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Reads until the protocol of the client is known. The bytes are kept for hyper.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            if let Some(protocol) = protocol_of(self.ahead.waiting()) {
                return Poll::Ready(Ok(protocol));
            }
            if ready!(self.ahead.fill(&mut self.transport, cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads ahead while an event stream is open and hyper does not read.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let hyper_reads = std::mem::take(&mut self.is_read_armed);
        if hyper_reads || self.protocol == Protocol::Http2 || !self.state.is_streaming() {
            return Ok(());
        }
        // What arrives is, in this order: the rest of the request's body, which is kept for its reader, or thrown away
        // if that has dropped it; and the next request, if this one was read to its end.
        let is_dropped = self.state.is_body_dropped();
        while self.ahead.waiting().len() <= MAX_AHEAD_BYTES && self.drained <= MAX_DISCARDED_BYTES {
            match self.ahead.fill(&mut self.transport, cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => {
                    self.state.note_disconnected();
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the client has closed the connection",
                    ));
                }
                Poll::Ready(Ok(count)) if is_dropped => {
                    self.drained += count;
                    self.ahead = ReadAhead::default();
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    self.state.failed(&error);
                    return Err(error);
                }
            }
        }
        if self.state.is_request_read() {
            self.state.note_disconnected();
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client sent too much while it was being streamed to",
            ));
        }
        // The rest waits in the kernel, and the client's writes wait with it. The next write finds its disconnect.
        Ok(())
    }

    /// Reads on after the sending side was closed, for a bounded time: unread bytes would make the close a reset,
    /// which can overtake the end of the response.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self
            .linger
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while self.drained <= MAX_DISCARDED_BYTES {
            self.ahead = ReadAhead::default();
            match ready!(self.ahead.fill(&mut self.transport, cx)) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.drained += count,
            }
        }
        Poll::Ready(())
    }

    /// Notes what came of a write or a flush. `all` says that success means: nothing is left.
    fn note_write<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        all: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        // A TLS session takes bytes into its own buffer: only what the socket took is progress.
        let written = self.transport.written();
        let has_advanced = std::mem::replace(&mut self.written, written) != written;
        match &result {
            Poll::Pending => {
                if !self.is_stalled || has_advanced {
                    self.is_stalled = true;
                    self.state.note(|clock, now| {
                        clock.write_advanced();
                        clock.write_stalled(now);
                    });
                }
                // A blocked write never gets to the flush, and may be blocked because the client
                // has left.
                self.watch(cx)?;
            }
            Poll::Ready(Ok(_)) => {
                if self.is_stalled && (has_advanced || all) {
                    self.is_stalled = false;
                    self.state.note(|clock, _| clock.write_advanced());
                }
            }
            Poll::Ready(Err(error)) => self.state.failed(error),
        }
        result
    }

    fn check_upgraded(&self, direction: Direction, cx: &Context<'_>) -> io::Result<()> {
        if self.state.has_upgraded() {
            self.state.poll_upgraded(direction, cx)
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_read_armed = false;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if this.ahead.waiting().is_empty() {
            this.check_upgraded(Direction::Read, cx)?;
            match Pin::new(&mut this.transport).poll_read(cx, buf) {
                Poll::Pending => {
                    this.is_read_armed = true;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    this.state.failed(&error);
                    return Poll::Ready(Err(error));
                }
            }
        } else {
            this.ahead.take_into(buf);
        }
        if buf.filled().len() == before {
            this.state.note_disconnected();
        } else if this.protocol == Protocol::Http1 {
            this.state.note(ConnectionClock::bytes_read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_upgraded(Direction::Write, cx)?;
        let result = Pin::new(&mut this.transport).poll_write(cx, buf);
        this.note_write(result, false, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_upgraded(Direction::Write, cx)?;
        let result = Pin::new(&mut this.transport).poll_write_vectored(cx, bufs);
        this.note_write(result, false, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_upgraded(Direction::Write, cx)?;
        let result = Pin::new(&mut this.transport).poll_flush(cx);
        ready!(this.note_write(result, true, cx))?;
        this.state.note_flushed();
        Poll::Ready(this.watch(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_upgraded(Direction::Write, cx)?;
        if this.linger.is_none() {
            let result = Pin::new(&mut this.transport).poll_shutdown(cx);
            ready!(this.note_write(result, true, cx))?;
        }
        if this.protocol == Protocol::Http1 && !this.state.is_request_read() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// Reports when an upgraded socket closes.
struct CloseNotifier(Arc<ConnectionState>);

impl Deref for CloseNotifier {
    type Target = ConnectionState;

    fn deref(&self) -> &ConnectionState {
        &self.0
    }
}

impl Drop for CloseNotifier {
    fn drop(&mut self) {
        if self.0.has_upgraded() {
            self.0.note_closed();
        }
    }
}

/// The protocol that begins like this, as soon as it is clear.
fn protocol_of(bytes: &[u8]) -> Option<Protocol> {
    let known = bytes.len().min(PREFACE.len());
    if bytes[..known] != PREFACE[..known] {
        Some(Protocol::Http1)
    } else if known == PREFACE.len() {
        Some(Protocol::Http2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_clear_at_the_first_byte_that_tells_them_apart() {
        assert_eq!(protocol_of(b""), None);
        assert_eq!(protocol_of(b"G"), Some(Protocol::Http1));
        assert_eq!(protocol_of(b"P"), None);
        assert_eq!(protocol_of(b"PO"), Some(Protocol::Http1));
        assert_eq!(protocol_of(b"PRI * HTTP/1.1\r\n"), Some(Protocol::Http1));
        for end in 0..PREFACE.len() {
            assert_eq!(protocol_of(&PREFACE[..end]), None);
        }
        assert_eq!(protocol_of(PREFACE), Some(Protocol::Http2));
        assert_eq!(
            protocol_of(&[PREFACE, b"more"].concat()),
            Some(Protocol::Http2)
        );
    }

    #[test]
    fn what_was_read_ahead_is_replayed_in_pieces_of_any_size() {
        let mut ahead = ReadAhead {
            bytes: b"abcdef".to_vec(),
            taken: 0,
        };
        let mut seen = Vec::new();
        for size in [1, 2, 5] {
            let mut space = [0; 8];
            let mut buf = ReadBuf::new(&mut space[..size]);
            ahead.take_into(&mut buf);
            seen.extend_from_slice(buf.filled());
        }
        assert_eq!(seen, b"abcdef");
        assert_eq!(ahead.bytes.capacity(), 0);
    }
}
