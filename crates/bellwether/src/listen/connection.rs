//! The task of one connection: handshake, protocol, hyper, deadlines, and the end of each.
//!
//! A future written by hand, because it must be small: ten thousand of them wait at once. What is
//! large and rare, such as HTTP/2, is boxed; the timer exists only while a deadline does.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::ServerContext;
use super::clock::{ConnectionClock, ExpiredTimeout};
use super::connection_state::{ConnectionState, Detached};
use super::executor::StreamExecutor;
use super::io::{Io, Protocol};
use super::service::ConnectionService;
use super::socket::{Socket, Transport};
use super::streaming;
use crate::admission::{Permit, Refusal};
use crate::stream::ErrorChain;

type Http1Connection = http1::UpgradeableConnection<TokioIo<Io>, ConnectionService>;
type Http2Connection = http2::Connection<TokioIo<Io>, ConnectionService, StreamExecutor>;

#[cfg(feature = "tls")]
type Handshake = (Pin<Box<tokio_rustls::Accept<Socket>>>, Permit);

/// The stage of a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "HTTP/1 is the usual case, a box would cost more"
)]
enum Stage {
    #[cfg(feature = "tls")]
    Handshake(Handshake),
    /// The first bytes tell the protocol.
    Opening(Io),
    Http1(Http1Connection),
    Http2(Box<Http2Connection>),
    /// The socket belongs to another protocol; the task stays to cut it when the server ends.
    Upgraded,
    Ended,
}

/// Why a connection ended.
enum ConnectionEnd {
    /// HTTP says that it is done.
    Done,
    /// The client closed it before its first request, or broke HTTP.
    Failed(ConnectionError),
    TimedOut(ExpiredTimeout),
    /// A stop began before there was a request.
    Stopped,
    /// The stop's deadline has passed.
    Cut,
    /// An event stream goes on without hyper.
    Detached(Box<Detached>, Box<Io>, Bytes),
    Panicked,
}

#[derive(Debug)]
enum ConnectionError {
    Io(io::Error),
    Http(hyper::Error),
}

/// Whether the connection knows of the stop of its server.
enum StopState {
    NotYet,
    /// Told to end in good order; the future resolves when it is to be cut.
    Told(Pin<Box<WaitForCancellationFutureOwned>>),
}

pin_project! {
    /// One connection, from its acceptance to its end. Resolves when nothing is left of it.
    pub(super) struct Connection {
        shared: Arc<ServerContext>,
        state: Arc<ConnectionState>,
        stage: Stage,
        timer: Option<Pin<Box<Sleep>>>,
        stop: StopState,
        has_shut_down: bool,
        #[pin]
        stopping: WaitForCancellationFutureOwned,
    }
}

impl Connection {
    /// A connection on `socket`; with a `refusal` it gets one response with the refusal.
    pub(super) fn new(
        shared: Arc<ServerContext>,
        socket: Socket,
        peer: Option<std::net::SocketAddr>,
        permit: Permit,
        refusal: Option<Refusal>,
    ) -> Self {
        let now = Instant::now();
        let stopping = shared.lifecycle.stopping();
        #[cfg(feature = "tls")]
        if let Some(tls) = &shared.tls {
            let state = Arc::new(ConnectionState::new(
                ConnectionClock::handshake(now),
                peer,
                refusal,
            ));
            let stage = Stage::Handshake((Box::pin(tls.accept(socket)), permit));
            return Self::at(stage, shared, state, stopping);
        }
        let state = Arc::new(ConnectionState::new(
            ConnectionClock::head(now),
            peer,
            refusal,
        ));
        let io = Io::new(Transport::Plain(socket), Arc::clone(&state), permit);
        Self::at(Stage::Opening(io), shared, state, stopping)
    }

    /// A connection whose first answer was an event stream that has ended; `ahead` has come since.
    fn reused(
        shared: Arc<ServerContext>,
        transport: Transport,
        ahead: Vec<u8>,
        peer: Option<std::net::SocketAddr>,
        permit: Permit,
    ) -> Self {
        let now = Instant::now();
        let stopping = shared.lifecycle.stopping();
        let clock = if ahead.is_empty() {
            ConnectionClock::idle(now)
        } else {
            ConnectionClock::head(now)
        };
        let state = Arc::new(ConnectionState::new(clock, peer, None));
        let io = Io::new(transport, Arc::clone(&state), permit).with_ahead(ahead);
        Self::at(Stage::Opening(io), shared, state, stopping)
    }

    fn at(
        stage: Stage,
        shared: Arc<ServerContext>,
        state: Arc<ConnectionState>,
        stopping: WaitForCancellationFutureOwned,
    ) -> Self {
        Self {
            shared,
            state,
            stage,
            timer: None,
            stop: StopState::NotYet,
            has_shut_down: false,
            stopping,
        }
    }
}

/// Serves further requests of a connection after its event stream.
pub(super) fn spawn_reused(
    shared: &Arc<ServerContext>,
    transport: Transport,
    ahead: Vec<u8>,
    peer: Option<std::net::SocketAddr>,
    permit: Permit,
) {
    let connection = Connection::reused(Arc::clone(shared), transport, ahead, peer, permit);
    let lifecycle = &shared.lifecycle;
    lifecycle.tracker().spawn(lifecycle.scope(connection));
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let end = ready!(self.as_mut().poll_end(cx));
        let this = self.project();
        let peer = this.state.peer;
        match end {
            ConnectionEnd::Done => tracing::debug!(?peer, "connection closed"),
            ConnectionEnd::Stopped => tracing::debug!(?peer, "connection closed by the stop"),
            ConnectionEnd::Failed(ConnectionError::Io(error)) => {
                tracing::debug!(?peer, %error, "connection failed");
            }
            ConnectionEnd::Failed(ConnectionError::Http(error)) => {
                tracing::debug!(?peer, error = %ErrorChain(&error), "connection failed");
            }
            ConnectionEnd::TimedOut(expired) => {
                if expired == ExpiredTimeout::Write {
                    this.state.note_timed_out();
                }
                tracing::debug!(?peer, reason = expired.as_str(), "connection closed");
            }
            ConnectionEnd::Cut => {
                this.state.cut_upgraded();
                tracing::debug!(?peer, "connection cut at the drain deadline");
            }
            ConnectionEnd::Detached(detached, io, read) => {
                streaming::drive(this.shared, this.state, *detached, *io, &read);
            }
            ConnectionEnd::Panicked => tracing::error!(?peer, "connection closed by a panic"),
        }
        // The bodies of the connection are dropped here, after their reason was settled.
        *this.stage = Stage::Ended;
        *this.timer = None;
        Poll::Ready(())
    }
}

impl Connection {
    fn poll_end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        if let Some(end) = self.as_mut().poll_stop(cx) {
            return Poll::Ready(end);
        }
        loop {
            // After a panic the stage is only dropped, so no broken state of it can be seen.
            let polled = catch_unwind(AssertUnwindSafe(|| self.as_mut().poll_stage(cx)));
            match polled {
                Ok(Poll::Ready(end)) => return Poll::Ready(end),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(ConnectionEnd::Panicked),
            }
            let this = self.as_mut().project();
            if this.state.has_refused() && !*this.has_shut_down {
                *this.has_shut_down = true;
                this.stage.shut_down();
                continue;
            }
            match ready!(self.as_mut().poll_timeout(cx)) {
                // HTTP/2 sends GOAWAY first: the client may be sending its next request.
                ExpiredTimeout::Idle if matches!(self.stage, Stage::Http2(_)) => {
                    let this = self.as_mut().project();
                    *this.has_shut_down = true;
                    this.state.note(ConnectionClock::begin_shutdown);
                    this.stage.shut_down();
                }
                expired => return Poll::Ready(ConnectionEnd::TimedOut(expired)),
            }
        }
    }

    /// Passes a stop on to the stage, and tells when there is nothing left to wait for.
    fn poll_stop(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<ConnectionEnd> {
        let this = self.project();
        if let StopState::NotYet = this.stop {
            if this.stopping.poll(cx).is_pending() {
                return None;
            }
            let cut = this.shared.cut.clone().cancelled_owned();
            *this.stop = StopState::Told(Box::pin(cut));
            this.stage.shut_down();
            if this.stage.has_no_request() {
                return Some(ConnectionEnd::Stopped);
            }
        }
        if let StopState::Told(cut) = this.stop
            && cut.as_mut().poll(cx).is_ready()
        {
            return Some(ConnectionEnd::Cut);
        }
        None
    }

    fn poll_stage(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let this = self.project();
        loop {
            match this.stage {
                #[cfg(feature = "tls")]
                Stage::Handshake((accept, _)) => match ready!(accept.as_mut().poll(cx)) {
                    Ok(stream) => this.stage.start_tls(stream, this.shared, this.state),
                    Err(error) => {
                        return Poll::Ready(ConnectionEnd::Failed(ConnectionError::Io(error)));
                    }
                },
                Stage::Opening(io) => match ready!(io.poll_protocol(cx)) {
                    Ok(protocol) => this.stage.open(protocol, this.shared, this.state),
                    Err(error) => {
                        return Poll::Ready(ConnectionEnd::Failed(ConnectionError::Io(error)));
                    }
                },
                Stage::Http1(http1) => {
                    let polled = Pin::new(http1).poll(cx);
                    if let Some(detached) = this.state.take_detached() {
                        return Poll::Ready(this.stage.detach_stream(detached));
                    }
                    match ready!(polled) {
                        Ok(()) if this.state.has_upgraded() => *this.stage = Stage::Upgraded,
                        Ok(()) => return Poll::Ready(ConnectionEnd::Done),
                        Err(error) => {
                            return Poll::Ready(ConnectionEnd::Failed(ConnectionError::Http(
                                error,
                            )));
                        }
                    }
                }
                Stage::Http2(http2) => {
                    return Pin::new(http2.as_mut())
                        .poll(cx)
                        .map(|result| match result {
                            Ok(()) => ConnectionEnd::Done,
                            Err(error) => ConnectionEnd::Failed(ConnectionError::Http(error)),
                        });
                }
                Stage::Upgraded => return this.state.poll_closed(cx).map(|()| ConnectionEnd::Done),
                Stage::Ended => return Poll::Ready(ConnectionEnd::Done),
            }
        }
    }

    /// Resolves when the connection is late. Keeps one timer, and none without a deadline.
    fn poll_timeout(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExpiredTimeout> {
        let this = self.project();
        let timeouts = &this.shared.timeouts;
        let clock = this.state.clock();
        let next = clock.deadline(timeouts).map(|(deadline, _)| deadline);
        loop {
            let timer = match (&mut *this.timer, next) {
                (None, None) => return Poll::Pending,
                (Some(timer), Some(next)) => {
                    // A later deadline waits for the timer to fire; most never get there.
                    if timer.deadline() > next {
                        timer.as_mut().reset(next);
                    }
                    timer
                }
                (Some(timer), None) => timer,
                (slot @ None, Some(next)) => slot.insert(Box::pin(tokio::time::sleep_until(next))),
            };
            ready!(timer.as_mut().poll(cx));
            *this.timer = None;
            if let Some(expired) = clock.verdict(Instant::now(), timeouts) {
                return Poll::Ready(expired);
            }
        }
    }
}

impl Stage {
    /// Hands the opened connection to hyper.
    fn open(
        &mut self,
        protocol: Protocol,
        shared: &Arc<ServerContext>,
        state: &Arc<ConnectionState>,
    ) {
        if let Self::Opening(io) = std::mem::replace(self, Self::Ended) {
            let io = TokioIo::new(io.with_protocol(protocol));
            let requests = ConnectionService::new(Arc::clone(shared), Arc::clone(state));
            *self = match protocol {
                Protocol::Http1 => {
                    let keep_alive = state.refusal.is_none();
                    let builder = if keep_alive {
                        &shared.http1
                    } else {
                        &shared.http1_once
                    };
                    Self::Http1(builder.serve_connection(io, requests).with_upgrades())
                }
                Protocol::Http2 => {
                    let executor = StreamExecutor::new(Arc::clone(shared), Arc::clone(state));
                    let builder = shared.http2(executor);
                    Self::Http2(Box::new(builder.serve_connection(io, requests)))
                }
            };
        }
    }

    /// Goes on over TLS, with the protocol that was negotiated, if one was.
    #[cfg(feature = "tls")]
    fn start_tls(
        &mut self,
        stream: tokio_rustls::server::TlsStream<Socket>,
        shared: &Arc<ServerContext>,
        state: &Arc<ConnectionState>,
    ) {
        if let Self::Handshake((_, permit)) = std::mem::replace(self, Self::Ended) {
            state.note(|clock, now| *clock = ConnectionClock::head(now));
            let protocol = super::tls::negotiated(&stream);
            let io = Io::new(Transport::Tls(Box::new(stream)), Arc::clone(state), permit);
            *self = Self::Opening(io);
            if let Some(protocol) = protocol {
                self.open(protocol, shared, state);
            }
        }
    }

    /// Takes the socket from hyper, which has written all that it was given.
    fn detach_stream(&mut self, detached: Box<Detached>) -> ConnectionEnd {
        let Self::Http1(http1) = std::mem::replace(self, Self::Ended) else {
            return ConnectionEnd::Done;
        };
        match http1.into_parts() {
            Some(parts) => {
                ConnectionEnd::Detached(detached, Box::new(parts.io.into_inner()), parts.read_buf)
            }
            None => ConnectionEnd::Done,
        }
    }

    /// Lets requests that are open end, and takes no more.
    fn shut_down(&mut self) {
        match self {
            Self::Http1(http1) => Pin::new(http1).graceful_shutdown(),
            Self::Http2(http2) => Pin::new(http2.as_mut()).graceful_shutdown(),
            _ => {}
        }
    }

    /// Whether no request can have been seen yet.
    fn has_no_request(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Handshake(_) => true,
            Self::Opening(_) => true,
            _ => false,
        }
    }
}
