//! The state that the parts of one connection share: its socket, its requests and its task.
//!
//! hyper owns the socket and calls the service, so the task that drives hyper sees neither. Both
//! report here, and the task checks it after each poll.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use axum::response::Response;
use tokio::time::Instant;

use crate::admission::Refusal;
use crate::send::StreamState;

use super::clock::ConnectionClock;

/// The shared facts of one connection.
pub(super) struct ConnectionState {
    /// What the event body of an HTTP/1 connection sees. Streams of HTTP/2 have one each.
    ///
    /// Made at the first request and not before: it outlives the task of the connection, and would hold what lies
    /// around it in memory if it were allocated between the parts of that.
    stream_state: OnceLock<Arc<StreamState>>,
    pub(super) peer: Option<SocketAddr>,
    /// Why this connection is refused.
    pub(super) refusal: Option<Refusal>,
    /// How far the body of the present request was read, a [`BodyProgress`]: until its end, what arrives is not a
    /// pipelined request.
    body: AtomicU8,
    has_refused: AtomicBool,
    has_upgraded: AtomicBool,
    /// An event stream is to leave hyper as soon as hyper has written everything before it.
    is_detaching: AtomicBool,
    /// Hyper has written everything that it was given.
    is_flushed: AtomicBool,
    /// Guards the clock and the wakers of an upgraded socket; never held across a poll.
    inner: Mutex<ConnectionStateInner>,
}

struct ConnectionStateInner {
    clock: ConnectionClock,
    http2: Option<Box<Http2Streams>>,
    upgraded: Option<Box<Upgraded>>,
    detached: Option<Box<Detached>>,
}

/// How far a request's body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BodyProgress {
    /// To its end, or there is none.
    Read,
    /// Its reader holds it.
    Open,
    /// Its reader dropped it before its end. Its bytes may still arrive.
    Dropped,
}

/// The answer to a request for events on HTTP/1.1, of which nothing is written yet.
pub(super) struct Detached {
    pub(super) response: Response,
    /// Whether the request was read to its end, and neither side wants the connection closed.
    pub(super) is_reusable: bool,
}

/// The streams of an HTTP/2 connection.
#[derive(Default)]
struct Http2Streams {
    open: Vec<Weak<Http2Stream>>,
    /// The one whose task hyper spawns next.
    next: Option<Arc<Http2Stream>>,
}

/// What the task of one HTTP/2 stream and its bodies tell each other.
#[derive(Default)]
pub(super) struct Http2Stream {
    /// What the event body of this stream sees.
    pub(super) stream_state: Arc<StreamState>,
    /// The body has handed over a piece and was not asked for the next one since.
    has_unsent: AtomicBool,
}

impl Http2Stream {
    pub(super) fn set_unsent(&self, has_unsent: bool) {
        self.has_unsent.store(has_unsent, Ordering::Release);
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire)
    }
}

/// A socket that left HTTP. Its connection's task stays behind to cut it when the server ends.
#[derive(Default)]
struct Upgraded {
    is_closed: bool,
    is_cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    close_waker: Option<Waker>,
}

/// The two directions of an upgraded socket; each may be polled by a task of its own.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

impl ConnectionState {
    pub(super) fn new(
        clock: ConnectionClock,
        peer: Option<SocketAddr>,
        refusal: Option<Refusal>,
    ) -> Self {
        Self {
            stream_state: OnceLock::new(),
            peer,
            refusal,
            body: AtomicU8::new(BodyProgress::Read as u8),
            has_refused: AtomicBool::new(false),
            has_upgraded: AtomicBool::new(false),
            is_detaching: AtomicBool::new(false),
            is_flushed: AtomicBool::new(false),
            inner: Mutex::new(ConnectionStateInner {
                clock,
                http2: None,
                upgraded: None,
                detached: None,
            }),
        }
    }

    /// What the event body of an HTTP/1 connection sees.
    pub(super) fn stream_state(&self) -> &Arc<StreamState> {
        self.stream_state.get_or_init(Arc::default)
    }

    /// Whether an event body is active on this HTTP/1 connection.
    pub(super) fn is_streaming(&self) -> bool {
        self.stream_state
            .get()
            .is_some_and(|stream_state| stream_state.is_streaming())
    }

    fn inner(&self) -> MutexGuard<'_, ConnectionStateInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the clock to decide by.
    pub(super) fn clock(&self) -> ConnectionClock {
        self.inner().clock
    }

    /// Notes something on the clock.
    pub(super) fn note(&self, what: impl FnOnce(&mut ConnectionClock, Instant)) {
        let now = Instant::now();
        what(&mut self.inner().clock, now);
    }

    /// Reports an error of the socket to the streams on it.
    pub(super) fn failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.note_timed_out();
        } else {
            self.note_disconnected();
        }
    }

    /// The client has closed or reset the connection.
    pub(super) fn note_disconnected(&self) {
        self.for_each_stream(StreamState::note_disconnected);
    }

    /// The client takes nothing any more.
    pub(super) fn note_timed_out(&self) {
        self.for_each_stream(StreamState::note_timed_out);
    }

    fn for_each_stream(&self, note: impl Fn(&StreamState)) {
        note(self.stream_state());
        if let Some(http2) = &self.inner().http2 {
            http2
                .open
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|stream| note(&stream.stream_state));
        }
    }

    /// A request has come on an HTTP/2 connection; hyper spawns its task next.
    pub(super) fn open_http2_stream(&self) -> Arc<Http2Stream> {
        let stream = Arc::<Http2Stream>::default();
        let mut inner = self.inner();
        let http2 = inner.http2.get_or_insert_default();
        http2.open.retain(|stream| stream.strong_count() > 0);
        http2.open.push(Arc::downgrade(&stream));
        http2.next = Some(Arc::clone(&stream));
        stream
    }

    /// The stream whose task is being spawned.
    pub(super) fn take_http2_stream(&self) -> Option<Arc<Http2Stream>> {
        self.inner().http2.as_mut()?.next.take()
    }

    pub(super) fn set_body(&self, progress: BodyProgress) {
        self.body.store(progress as u8, Ordering::Release);
    }

    /// Whether the present request was read to its end, so that what arrives next is another request.
    pub(super) fn is_request_read(&self) -> bool {
        self.body.load(Ordering::Acquire) == BodyProgress::Read as u8
    }

    /// Whether the present request's body has not ended and its reader still holds it.
    pub(super) fn is_body_open(&self) -> bool {
        self.body.load(Ordering::Acquire) == BodyProgress::Open as u8
    }

    /// Whether the reader of the present request's body dropped it before its end.
    pub(super) fn is_body_dropped(&self) -> bool {
        self.body.load(Ordering::Acquire) == BodyProgress::Dropped as u8
    }

    pub(super) fn note_refused(&self) {
        self.has_refused.store(true, Ordering::Release);
    }

    pub(super) fn has_refused(&self) -> bool {
        self.has_refused.load(Ordering::Acquire)
    }

    /// Keeps an answer that leaves hyper.
    pub(super) fn detach(&self, detached: Detached) {
        self.inner().detached = Some(Box::new(detached));
        self.is_flushed.store(false, Ordering::Release);
        self.is_detaching.store(true, Ordering::Release);
    }

    /// Hyper has written everything that it was given.
    pub(super) fn note_flushed(&self) {
        // On HTTP/2 no body sees this state: a flush tells nothing about the bytes of one stream.
        if let Some(stream_state) = self.stream_state.get() {
            stream_state.note_flushed();
        }
        self.is_flushed.store(true, Ordering::Release);
    }

    /// The answer that leaves hyper, once hyper has nothing left to write.
    pub(super) fn take_detached(&self) -> Option<Box<Detached>> {
        let is_ready =
            self.is_detaching.load(Ordering::Acquire) && self.is_flushed.load(Ordering::Acquire);
        match is_ready {
            true => self.inner().detached.take(),
            false => None,
        }
    }

    /// The answer being given hands the socket over to another protocol.
    pub(super) fn note_upgrade(&self) {
        let mut inner = self.inner();
        inner.clock.upgrade();
        inner.upgraded = Some(Box::default());
        self.has_upgraded.store(true, Ordering::Release);
    }

    pub(super) fn has_upgraded(&self) -> bool {
        self.has_upgraded.load(Ordering::Acquire)
    }

    /// Registers a poll of an upgraded socket, or fails it once the server has cut the socket.
    pub(super) fn poll_upgraded(&self, direction: Direction, cx: &Context<'_>) -> io::Result<()> {
        let mut inner = self.inner();
        let Some(upgraded) = &mut inner.upgraded else {
            return Ok(());
        };
        if upgraded.is_cut {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the server has stopped",
            ));
        }
        let slot = match direction {
            Direction::Read => &mut upgraded.reader,
            Direction::Write => &mut upgraded.writer,
        };
        match slot {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
        Ok(())
    }

    /// Resolves when the upgraded socket has been closed.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        match &mut inner.upgraded {
            Some(upgraded) if !upgraded.is_closed => {
                upgraded.close_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Fails every present and later use of an upgraded socket.
    pub(super) fn cut_upgraded(&self) {
        let wakers = match &mut self.inner().upgraded {
            Some(upgraded) => {
                upgraded.is_cut = true;
                [upgraded.reader.take(), upgraded.writer.take()]
            }
            None => [None, None],
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// The socket is being closed.
    pub(super) fn note_closed(&self) {
        let close_waker = self.inner().upgraded.as_mut().and_then(|upgraded| {
            upgraded.is_closed = true;
            upgraded.close_waker.take()
        });
        if let Some(waker) = close_waker {
            waker.wake();
        }
    }
}

/// Counts one request as open until the body of its response is dropped, or it is dropped without one.
pub(super) struct RequestGuard(Arc<ConnectionState>);

impl RequestGuard {
    pub(super) fn begin(state: &Arc<ConnectionState>) -> Self {
        state.note(|clock, _| clock.request_began());
        Self(Arc::clone(state))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.note(ConnectionClock::request_ended);
    }
}
