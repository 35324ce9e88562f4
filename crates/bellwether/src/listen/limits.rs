//! What a server allows: sizes and counts, waiting times, and how long a stop may take.
//!
//! Every bound of the accept loop and of a connection has its name, its default and its setter
//! here. None is unlimited by default. Where a value outside its range would make a server that
//! cannot answer, it is raised to the smallest that can, as the setter says.

use std::time::Duration;

use crate::admission::ConnectionLimits;
use crate::error::{Error, Result};

/// Sizes and counts that one server allows.
///
/// Give them to [`Application::limits`](crate::Application::limits). Every limit has a finite default.
///
/// # Memory
///
/// In user space, with the defaults, an idle event stream on HTTP/1.1 holds about 2 KiB, and a subscription
/// that the delivery engine serves holds about 640 bytes. A connection that sends or reads as slowly as it
/// may holds up to 96 KiB: 32 KiB of head or unread request, and up to 64 KiB of unsent response. Request
/// bodies come on top, up to [`max_body_bytes`](Limits::max_body_bytes) for each request that a handler
/// collects. On HTTP/2 each open request may add its own 64 KiB of unsent response.
///
/// ```
/// use bellwether::Limits;
///
/// let limits = Limits::default().max_connections(20_000).max_connections_per_address(200);
/// assert!(format!("{limits:?}").contains("max_connections: Some(20000)"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_address: Option<usize>,
    pub(crate) max_refusals: usize,
    pub(crate) max_head_bytes: usize,
    pub(crate) max_head_fields: usize,
    pub(crate) max_uri_bytes: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_unsent_bytes: usize,
    pub(crate) max_http2_streams: u32,
    pub(crate) max_http2_send_bytes: usize,
    pub(crate) raises_file_limit: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_connections_per_address: None,
            max_refusals: 64,
            max_head_bytes: 32 * 1024,
            max_head_fields: 100,
            max_uri_bytes: 8 * 1024,
            max_body_bytes: 1024 * 1024,
            max_unsent_bytes: 32 * 1024,
            max_http2_streams: 128,
            max_http2_send_bytes: 64 * 1024,
            raises_file_limit: true,
        }
    }
}

/// Smallest head and buffer that hyper accepts.
const MIN_HEAD_BYTES: usize = 8 * 1024;

impl Limits {
    /// The connections that a process admits which may open `files` files.
    pub(super) fn connection_limits(&self, files: usize) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.max_connections.unwrap_or(files / 5 * 4),
            refusals: self.max_refusals.min(files / 10),
            per_address: self.max_connections_per_address,
        }
    }

    /// Refuses limits that contradict one another.
    pub(crate) fn check(&self) -> Result<()> {
        let contradiction = match (self.max_connections, self.max_connections_per_address) {
            (Some(all), Some(one)) if one > all => format!(
                "max_connections_per_address ({one}) is more than max_connections ({all}): one address could take all"
            ),
            _ if self.max_uri_bytes > self.max_head_bytes => format!(
                "max_uri_bytes ({}) is more than max_head_bytes ({}), of which the target is a part",
                self.max_uri_bytes, self.max_head_bytes
            ),
            _ => return Ok(()),
        };
        Err(Error::configuration(contradiction, None))
    }

    /// Maximum number of connections served at once, over all listeners of the server.
    ///
    /// Default: 80 % of the process's limit of open files. The rest is for files, brokers and outgoing
    /// connections, which still find a descriptor when the server is full. Zero refuses every client, which
    /// is useful in tests only. With more than the limit of open files, accepting fails at that limit: the
    /// server pauses accepting and keeps serving the connections it has.
    ///
    /// A full server answers a small number of further clients with a refusal (see
    /// [`max_refusals`](Self::max_refusals)). It never closes an open connection to make room.
    ///
    /// ```
    /// use bellwether::{Application, Limits};
    ///
    /// let application: Application = Application::new().limits(Limits::default().max_connections(5_000));
    /// ```
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Maximum number of connections served at once for one client address. An IPv6 address counts by its
    /// /64.
    ///
    /// Default: no limit, because behind a proxy all clients share one address. Too small a value refuses
    /// real clients: browsers open up to six connections to one HTTP/1.1 origin, and an office may share one
    /// address. A server with this limit keeps about 100 bytes for each connected address. More than
    /// [`max_connections`](Self::max_connections) is an error when the application starts.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// Maximum number of connections that are refused with an answer at the same time.
    ///
    /// Default: 64, but never more than a tenth of the limit of open files. Zero sends no refusals: further
    /// clients wait in the listener's queue.
    ///
    /// Each refused client gets one response, and its connection is closed. An `EventSource` gets `200` with
    /// a `retry:` of 15 to 45 s and the end of the stream, since any other status would make it stop for
    /// good. Every other client gets `503` with `Retry-After`. Connections beyond this number wait in the
    /// listener's queue until there is room. An address at [its own limit](Self::max_connections_per_address)
    /// has the same number of refusals for itself; its connections beyond that are closed without an answer.
    ///
    /// The routes for probes ([`health`](crate::Application::health),
    /// [`liveness`](crate::Application::liveness)) are answered on these connections as if there were room.
    #[must_use]
    pub fn max_refusals(mut self, refusals: usize) -> Self {
        self.max_refusals = refusals;
        self
    }

    /// Maximum size of a request's head in bytes, from the method to the empty line. A larger head is
    /// answered with `431`.
    ///
    /// Default: 32 KiB. Values below 8 KiB count as 8 KiB. For HTTP/2 this is the size of the decoded header
    /// list. Too small a value refuses clients with large cookies. The value also bounds what a connection
    /// reads ahead and what it collects before it writes, so each slow connection may hold twice this many
    /// bytes.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes.max(MIN_HEAD_BYTES);
        self
    }

    /// Maximum number of header fields of a request. A request with more is answered with `431`.
    ///
    /// Default: 100. Any other value costs an allocation for each request on HTTP/1.1.
    #[must_use]
    pub fn max_head_fields(mut self, fields: usize) -> Self {
        self.max_head_fields = fields;
        self
    }

    /// Maximum length of a request's target in bytes, as it is written. A longer target is answered with
    /// `414`.
    ///
    /// Default: 8 KiB. Too small a value refuses long queries. More than
    /// [`max_head_bytes`](Self::max_head_bytes) is an error when the application starts.
    #[must_use]
    pub fn max_uri_bytes(mut self, bytes: usize) -> Self {
        self.max_uri_bytes = bytes;
        self
    }

    /// Maximum size of a request body that an extractor collects, in bytes. A larger body is answered with
    /// `413`.
    ///
    /// Default: 1 MiB. A larger value lets each request hold that much memory. The limit is applied as axum's
    /// `DefaultBodyLimit`, so a route can set its own. It does not bind a handler that reads the body as a
    /// stream.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Maximum number of bytes that the kernel takes for one TCP connection before they are sent
    /// (`TCP_NOTSENT_LOWAT`).
    ///
    /// Default: 32 KiB. Zero leaves the system's setting, with which a client that has stopped reading holds
    /// up to 4 MiB of kernel memory on Linux and then reads events that are that old. Bytes that are sent but
    /// not yet acknowledged do not count, so a large file on a long link is not slowed. A smaller value costs
    /// more wake-ups for such files; a larger one costs memory for each stuck reader. Linux, Android and
    /// Apple systems have the option; elsewhere the value has no effect.
    #[must_use]
    pub fn max_unsent_bytes(mut self, bytes: usize) -> Self {
        self.max_unsent_bytes = bytes;
        self
    }

    /// Maximum number of requests that one HTTP/2 connection may have open at once.
    ///
    /// Default: 128. Zero counts as one. A browser puts all event streams of one origin on one connection, so
    /// too small a value makes the streams of further tabs wait. Each request may hold
    /// [`max_http2_send_bytes`](Self::max_http2_send_bytes), which a larger value multiplies.
    #[must_use]
    pub fn max_http2_streams(mut self, streams: u32) -> Self {
        self.max_http2_streams = streams.max(1);
        self
    }

    /// Maximum number of bytes that one HTTP/2 stream keeps for a client that does not take them.
    ///
    /// Default: 64 KiB. Values below 1 KiB count as 1 KiB, and values above 4 GiB as 4 GiB. A smaller value
    /// makes large responses slower; a larger one costs that much memory for each stalled stream.
    #[must_use]
    pub fn max_http2_send_bytes(mut self, bytes: usize) -> Self {
        self.max_http2_send_bytes = bytes.clamp(1024, u32::MAX as usize);
        self
    }

    /// Leaves the process's limit of open files as it is.
    ///
    /// By default a server raises the soft limit to the hard one when it starts, because the usual soft limit
    /// of 1,024 would allow about 800 connections. Programs that use `select` break above 1,024 descriptors. An
    /// application that starts such programs lowers the limit for them, or keeps it with this setter.
    #[must_use]
    pub fn keep_file_limit(mut self) -> Self {
        self.raises_file_limit = false;
        self
    }
}

/// How long one server waits for its clients.
///
/// Give them to [`Application::timeouts`](crate::Application::timeouts). Zero means that the server does not
/// wait at all, and no client is that fast. `Duration::MAX` waits without an end; stalled clients then fill
/// the server one after the other.
///
/// ```
/// use bellwether::Timeouts;
/// use std::time::Duration;
///
/// let timeouts = Timeouts::default().idle(Duration::from_secs(75));
/// assert!(format!("{timeouts:?}").contains("idle: 75s"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timeouts {
    pub(crate) tls_handshake: Duration,
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) body_read: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) peer_silence: Duration,
    pub(crate) http2_ping_interval: Duration,
    pub(crate) http2_ping: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body_read: Duration::from_secs(10),
            write_stall: Duration::from_secs(30),
            peer_silence: Duration::from_secs(30),
            http2_ping_interval: Duration::from_secs(20),
            http2_ping: Duration::from_secs(20),
        }
    }
}

impl Timeouts {
    /// Maximum time from the arrival of a connection to the end of its TLS handshake. A late connection is
    /// closed.
    ///
    /// Default: 10 s. Too small a value fails clients on slow mobile links; too large a value lets a silent
    /// client hold a connection for that long.
    #[must_use]
    pub fn tls_handshake(mut self, time: Duration) -> Self {
        self.tls_handshake = time;
        self
    }

    /// Maximum time for the complete head of a request.
    ///
    /// Default: 10 s. For the first request it counts from the connection's arrival, or from the end of its
    /// TLS handshake; for each later one on HTTP/1.1, from the first byte. A late connection is closed. A
    /// larger value lets a client that sends byte by byte hold its connection for longer; a smaller one fails
    /// clients on slow mobile links.
    #[must_use]
    pub fn head(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// Maximum time that a connection waits for its next request after a response.
    ///
    /// Default: 60 s. A proxy in front should close its idle connections earlier; otherwise it may send a
    /// request into a connection that is just being closed. A larger value keeps more idle connections, each
    /// of which counts against [`Limits::max_connections`].
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// Maximum time that a handler waits for the next bytes of a request body.
    ///
    /// Default: 10 s. The reader of the body gets an error, and a request that has no response yet is
    /// answered with `408`. The time of the whole upload is not limited. Too small a value breaks uploads
    /// over links that stall for a moment.
    #[must_use]
    pub fn body_read(mut self, time: Duration) -> Self {
        self.body_read = time;
        self
    }

    /// Maximum time that a write may stall: the client's socket takes no byte of what waits for it.
    ///
    /// Default: 30 s. The connection is then closed, and its event streams count as
    /// [`TooSlow`](crate::CloseReason::TooSlow). On HTTP/2 the time also holds for each stream. A client that
    /// takes a few bytes within the time stays connected. Too small a value cuts clients whose link is down
    /// for a moment; too large a value keeps the memory of clients that have vanished.
    #[must_use]
    pub fn write_stall(mut self, time: Duration) -> Self {
        self.write_stall = time;
        self
    }

    /// Maximum time in which the peer's system must acknowledge what was sent to it (`TCP_USER_TIMEOUT`), and
    /// the silence after which it is probed (`SO_KEEPALIVE`).
    ///
    /// Default: 30 s. It finds peers that vanished without closing the connection: within this time after
    /// something was sent, and within twice this time if nothing was. The probe counts whole seconds. Too
    /// small a value cuts clients that change networks. `TCP_USER_TIMEOUT` exists on Linux and Android only.
    #[must_use]
    pub fn peer_silence(mut self, time: Duration) -> Self {
        self.peer_silence = time;
        self
    }

    /// Time between two pings of an HTTP/2 connection.
    ///
    /// Default: 20 s. A shorter time finds dead connections sooner and wakes the radio of mobile clients more
    /// often. A time beyond one year sends no pings.
    #[must_use]
    pub fn http2_ping_interval(mut self, time: Duration) -> Self {
        self.http2_ping_interval = time;
        self
    }

    /// Maximum time for the answer to an HTTP/2 ping. A connection without an answer is closed.
    ///
    /// Default: 20 s. Together with [`http2_ping_interval`](Self::http2_ping_interval) it bounds how long a
    /// dead HTTP/2 connection is kept.
    #[must_use]
    pub fn http2_ping(mut self, time: Duration) -> Self {
        self.http2_ping = time;
        self
    }
}

/// How a server stops: event streams end within the window, everything else by the deadline.
///
/// Give it to [`Application::drain`](crate::Application::drain). The order of a stop is
/// [`notice`](Self::notice), [`window`](Self::window), [`deadline`](Self::deadline),
/// [`last_resort`](Self::last_resort).
///
/// ```
/// use bellwether::Drain;
/// use std::time::Duration;
///
/// let drain = Drain::default().window(Duration::from_secs(3)).deadline(Duration::from_secs(5));
/// assert!(format!("{drain:?}").contains("deadline: 5s"));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Drain {
    pub(crate) notice: Duration,
    pub(crate) window: Duration,
    pub(crate) deadline: Duration,
    pub(crate) last_resort: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            notice: Duration::ZERO,
            window: DEFAULT_WINDOW,
            deadline: Duration::from_secs(15),
            last_resort: Duration::from_secs(10),
        }
    }
}

/// The window if none is set.
const DEFAULT_WINDOW: Duration = Duration::from_secs(10);

impl Drain {
    /// The drain that holds: the default window gives way to a shorter deadline, and one that was set contradicts it.
    pub(crate) fn checked(mut self) -> Result<Self> {
        if self.window == DEFAULT_WINDOW {
            self.window = self.window.min(self.deadline);
        }
        if self.window <= self.deadline {
            return Ok(self);
        }
        let message = format!(
            "the drain's window ({:?}) is longer than its deadline ({:?}): streams would be cut before their turn",
            self.window, self.deadline
        );
        Err(Error::configuration(message, None))
    }

    /// Time between the answer "not ready" and the start of the stop.
    ///
    /// Default: zero. During this time the readiness route says `stopping`, and everything else goes on:
    /// connections are accepted and served. A load balancer uses it to notice the stop and to send new
    /// clients elsewhere. Set it to a little more than the interval of the balancer's checks. Too small a
    /// value sends it clients that are refused.
    #[must_use]
    pub fn notice(mut self, time: Duration) -> Self {
        self.notice = time;
        self
    }

    /// Time over which open event streams are ended, each at its own moment.
    ///
    /// Default: 10 s, or the [`deadline`](Self::deadline) if that is shorter. The clients reconnect to other
    /// servers over the same time. Zero ends all streams at once, so that all clients reconnect together. A
    /// server with few streams uses only a part of the window (200 ends a second). A longer window makes a
    /// deploy slower.
    #[must_use]
    pub fn window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// Time from the start of the stop after which open connections are cut.
    ///
    /// Default: 15 s. Keep it below the time that the supervisor allows before it kills the process
    /// (Kubernetes: 30 s, systemd: 90 s). A deadline shorter than the [`window`](Self::window) that was set
    /// is an error when the application starts, since streams would be cut before their turn.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// Maximum time that the process may live after the deadline, where
    /// [`Application::run`](crate::Application::run) or `serve` runs it. The process is then ended with
    /// status 1.
    ///
    /// Default: 10 s. It is the time for stop hooks and for `main` to return. A blocked thread keeps a
    /// runtime from ending, and would keep the process running without an end.
    #[must_use]
    pub fn last_resort(mut self, time: Duration) -> Self {
        self.last_resort = time;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_of_the_open_files_are_connections_by_default() {
        assert_eq!(Limits::default().connection_limits(1000).connections, 800);
    }

    #[test]
    fn a_refusal_takes_at_most_a_tenth_of_the_open_files() {
        let limits = Limits::default().max_refusals(1000);
        assert_eq!(limits.connection_limits(1000).refusals, 100);
    }

    #[test]
    fn values_that_no_server_can_run_with_are_raised_to_the_smallest_that_it_can() {
        let limits = Limits::default().max_head_bytes(1).max_http2_streams(0);
        assert_eq!(limits.max_head_bytes, 8 * 1024);
        assert_eq!(limits.max_http2_streams, 1);
        assert_eq!(
            Limits::default()
                .max_http2_send_bytes(0)
                .max_http2_send_bytes,
            1024
        );
    }
}
