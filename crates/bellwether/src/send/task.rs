//! Sends one stream over one socket, in a task of its own: any body, and any socket that the runtime knows.
//!
//! hyper keeps a read buffer of 8 KiB and its whole machinery for as long as a response lasts. An event stream on
//! HTTP/1.1 needs none of it: each frame is one chunk, and all that comes from the client is its next request or its
//! end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::chunk_writer::{
    ChunkWriter, LAST_CHUNK, LINGER, MAX_DISCARDED_BYTES, PollSocket, SendFailure, WriteStatus,
    append_chunk,
};
use super::stream_state::{MAX_AHEAD_BYTES, StreamState};

/// After this many frames other tasks get their turn.
const FRAMES_PER_POLL: usize = 16;

/// A stream to send.
pub(crate) struct StreamTaskConfig<W> {
    pub(crate) socket: W,
    pub(crate) stream_state: Arc<StreamState>,
    /// The head of the response, to be written before the body.
    pub(crate) head: Vec<u8>,
    /// The body with everything that layers have put around it.
    pub(crate) body: Body,
    /// What was read of the client's next request, if the connection is used again. Otherwise what the client sends is
    /// thrown away.
    pub(crate) ahead: Option<Bytes>,
    /// How long the socket may take nothing.
    pub(crate) write_stall: Duration,
    /// Resolves when the stream has to be cut.
    pub(crate) cut: WaitForCancellationFutureOwned,
}

/// A stream and its socket. Resolves to the socket and what was read of the next request, if the response is complete
/// and the connection may be used again.
pub(crate) struct StreamTask<W> {
    writer: Option<ChunkWriter<W>>,
    body: Option<Body>,
    stream_state: Arc<StreamState>,
    input: ClientInput,
    end: Option<StreamTaskEnd>,
    write_stall: Duration,
    /// Exists while the socket takes nothing, and while the client is to close its side.
    timer: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The head, until it goes out with what the body has.
    out: Vec<u8>,
}

enum ClientInput {
    NextRequest(Vec<u8>),
    Discard(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamTaskEnd {
    Whole,
    Cut,
    /// Our side is closed.
    Shut,
}

impl<W: PollSocket + Unpin> StreamTask<W> {
    pub(crate) fn new(start: StreamTaskConfig<W>) -> Self {
        Self {
            writer: Some(ChunkWriter::new(start.socket)),
            body: Some(start.body),
            stream_state: start.stream_state,
            input: match start.ahead {
                Some(ahead) => ClientInput::NextRequest(ahead.into()),
                None => ClientInput::Discard(0),
            },
            end: None,
            write_stall: start.write_stall,
            timer: None,
            cut: Box::pin(start.cut),
            out: start.head,
        }
    }

    /// Until the stream has ended and its last byte is out, or it cannot go on.
    fn poll_all(
        &mut self,
        writer: &mut ChunkWriter<W>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendFailure>> {
        self.watch(writer, cx)?;
        for _ in 0..FRAMES_PER_POLL {
            ready!(self.poll_blocked(writer, cx))?;
            match self.end {
                None => {}
                Some(StreamTaskEnd::Whole) if matches!(self.input, ClientInput::NextRequest(_)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(StreamTaskEnd::Whole | StreamTaskEnd::Cut) => {
                    ready!(writer.shut(cx));
                    self.end = Some(StreamTaskEnd::Shut);
                    self.timer = None;
                    continue;
                }
                Some(StreamTaskEnd::Shut) => return self.poll_linger(writer, cx),
            }
            ready!(self.poll_body(cx));
            let now = Instant::now();
            let out = std::mem::take(&mut self.out);
            if !out.is_empty() {
                let bytes = Bytes::from(out);
                let sent = writer
                    .send(cx, &bytes, now, |taken| bytes.slice(taken..))
                    .map_err(|error| SendFailure::from(&error))?;
                if sent == WriteStatus::All {
                    self.stream_state.note_flushed();
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Appends what the body gives next. Ready when there is something to write, or the body has ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(());
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending if self.out.is_empty() => return Poll::Pending,
            // The head goes out on its own.
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.out.reserve(data.len() + 20);
                    append_chunk(&data, &mut self.out);
                }
            }
            // Without its last chunk the client can tell the stream from a finished one.
            Poll::Ready(Some(Err(_))) => {
                self.stream_state.note_failed();
                self.end = Some(StreamTaskEnd::Cut);
                self.body = None;
            }
            Poll::Ready(None) => {
                self.end = Some(StreamTaskEnd::Whole);
                self.body = None;
                self.out.extend_from_slice(LAST_CHUNK);
            }
        }
        Poll::Ready(())
    }

    /// Writes what the socket did not take; late if it takes nothing for too long.
    fn poll_blocked(
        &mut self,
        writer: &mut ChunkWriter<W>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendFailure>> {
        if !writer.is_blocked() {
            return Poll::Ready(Ok(()));
        }
        let sent = writer.flush(cx, Instant::now());
        if sent.map_err(|error| SendFailure::from(&error))? == WriteStatus::All {
            self.timer = None;
            self.stream_state.note_flushed();
            return Poll::Ready(Ok(()));
        }
        let late = writer
            .blocked_since()
            .and_then(|since| since.checked_add(self.write_stall));
        let Some(late) = late else {
            return Poll::Pending;
        };
        ready!(self.poll_timer(late, cx));
        Poll::Ready(Err(SendFailure::TimedOut))
    }

    fn poll_timer(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    /// Waits for the client to close its side. Closed at once, its unread bytes would make the end a reset, which can
    /// overtake the last event.
    fn poll_linger(
        &mut self,
        writer: &mut ChunkWriter<W>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendFailure>> {
        let at = match &self.timer {
            Some(timer) => timer.deadline(),
            None => Instant::now() + LINGER,
        };
        if self.poll_timer(at, cx).is_pending() {
            self.watch(writer, cx)?;
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on: what comes is the client's next request, what it should not send, or its end.
    fn watch(
        &mut self,
        writer: &mut ChunkWriter<W>,
        cx: &mut Context<'_>,
    ) -> Result<(), SendFailure> {
        let mut space = [0; 512];
        match &mut self.input {
            ClientInput::Discard(sum) => writer.discard(cx, &mut space, sum, MAX_DISCARDED_BYTES),
            ClientInput::NextRequest(ahead) => {
                while ahead.len() <= MAX_AHEAD_BYTES {
                    match writer.socket_mut().poll_read(cx, &mut space) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Ok(0)) => return Err(SendFailure::Disconnected),
                        Poll::Ready(Ok(count)) => ahead.extend_from_slice(&space[..count]),
                        Poll::Ready(Err(error)) => return Err(SendFailure::from(&error)),
                    }
                }
                Err(SendFailure::Disconnected)
            }
        }
    }
}

impl<W: PollSocket + Unpin> Future for StreamTask<W> {
    type Output = Option<(W, Bytes)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut writer) = self.writer.take() else {
            return Poll::Ready(None);
        };
        let polled = match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_all(&mut writer, cx),
        };
        let Poll::Ready(result) = polled else {
            self.writer = Some(writer);
            return Poll::Pending;
        };
        match result {
            Ok(()) => {}
            Err(SendFailure::Disconnected) => self.stream_state.note_disconnected(),
            Err(SendFailure::TimedOut) => self.stream_state.note_timed_out(),
            Err(SendFailure::Internal) => self.stream_state.note_failed(),
        }
        // The account of the stream is settled before its socket closes.
        self.body = None;
        let is_reusable = result.is_ok() && self.end == Some(StreamTaskEnd::Whole);
        Poll::Ready(match (&mut self.input, is_reusable) {
            (ClientInput::NextRequest(ahead), true) => {
                Some((writer.into_socket(), std::mem::take(ahead).into()))
            }
            _ => None,
        })
    }
}
