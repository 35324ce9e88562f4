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
/// Memory in user space, with the defaults: an idle event stream on HTTP/1.1 holds about 2 KiB, a
/// subscription that the delivery engine serves about 640 bytes. A connection that sends or reads as slowly as it may
/// holds up to 96 KiB: 32 KiB of head or unread request, up to 64 KiB of unsent answer. Request
/// bodies come on top, up to [`max_body_bytes`](Limits::max_body_bytes) for each request that a
/// handler collects. On HTTP/2 each open request may add its own 64 KiB of unsent answer.
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
    /// The places for connections in a process that may open `files` files.
    pub(super) fn places(&self, files: usize) -> ConnectionLimits {
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

    /// Connections served at once, over all listeners of the server.
    ///
    /// Default: 80 % of the process's limit of open files, so that files, brokers and outgoing
    /// connections still find a descriptor when the server is full. Zero refuses everybody, which
    /// is useful in tests only. More than the limit of open files lets accepting run into it: the
    /// server then pauses accepting and keeps serving whom it has.
    ///
    /// A full server answers a small number of further clients with a refusal (see
    /// [`max_refusals`](Self::max_refusals)); nobody is ever put out to make room.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Connections served at once for one client address; an IPv6 address counts by its /64.
    ///
    /// Default: no limit, because behind a proxy all clients share one address. Browsers open up
    /// to six connections for one HTTP/1.1 origin, and an office may share one address. A server
    /// with this limit keeps about 100 bytes for each address that is connected.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// Connections beyond the limits that are told so, at once: each gets one answer and is closed.
    ///
    /// An `EventSource` gets `200` with a `retry:` of 15 to 45 s and an end, since any other
    /// status makes it give up for good; everybody else gets `503` with `Retry-After`. Connections
    /// beyond these wait in the listener's queue until there is room. Those of an address that is at
    /// [its own limit](Self::max_connections_per_address) have as many answers of their own, and are closed without a
    /// word beyond them.
    ///
    /// The routes for probes ([`health`](crate::Application::health),
    /// [`liveness`](crate::Application::liveness)) are answered in these places, as if there were room.
    ///
    /// Default: 64, but never more than a tenth of the limit of open files. Zero lets everybody wait.
    #[must_use]
    pub fn max_refusals(mut self, refusals: usize) -> Self {
        self.max_refusals = refusals;
        self
    }

    /// Bytes of a request's head, from the method to the empty line; beyond them it is answered
    /// with `431`.
    ///
    /// Default: 32 KiB, values below 8 KiB count as 8 KiB. For HTTP/2 this is the size of the
    /// decoded header list. It also bounds what a connection reads ahead and what it collects
    /// before it writes, so each slow connection may hold twice this many bytes.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes.max(MIN_HEAD_BYTES);
        self
    }

    /// Header fields of a request; beyond them it is answered with `431`.
    ///
    /// Default: 100. Another value costs an allocation for each request on HTTP/1.1.
    #[must_use]
    pub fn max_head_fields(mut self, fields: usize) -> Self {
        self.max_head_fields = fields;
        self
    }

    /// Bytes of a request's target as it is written; beyond them it is answered with `414`.
    ///
    /// Default: 8 KiB. More than [`max_head_bytes`](Self::max_head_bytes) has no effect.
    #[must_use]
    pub fn max_uri_bytes(mut self, bytes: usize) -> Self {
        self.max_uri_bytes = bytes;
        self
    }

    /// Bytes of a request body that an extractor collects; beyond them it is answered with `413`.
    ///
    /// Default: 1 MiB. It is applied as axum's `DefaultBodyLimit`, so a route can set its own. A
    /// handler that reads the body as a stream is not bound by it.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Bytes that the kernel takes for one TCP connection before they can go on their way
    /// (`TCP_NOTSENT_LOWAT`).
    ///
    /// Default: 32 KiB. Without it, a reader that has stopped reading holds up to 4 MiB of kernel
    /// memory on Linux, and what it reads once it wakes is that old. What is sent but not yet
    /// acknowledged does not count, so a large file on a long link is not slowed; a smaller value
    /// costs more wake-ups for such files, a larger one memory for each stuck reader. Zero leaves
    /// the system's setting. Linux, Android and Apple systems have the option; elsewhere it has no
    /// effect.
    #[must_use]
    pub fn max_unsent_bytes(mut self, bytes: usize) -> Self {
        self.max_unsent_bytes = bytes;
        self
    }

    /// Requests that one HTTP/2 connection may have open at once.
    ///
    /// Default: 128. Each may hold [`max_http2_send_bytes`](Self::max_http2_send_bytes). A browser
    /// puts all event streams of one origin on one connection.
    #[must_use]
    pub fn max_http2_streams(mut self, streams: u32) -> Self {
        self.max_http2_streams = streams.max(1);
        self
    }

    /// Bytes that one HTTP/2 stream keeps for a client that does not take them.
    ///
    /// Default: 64 KiB, at most 4 GiB. A smaller value makes large answers slower.
    #[must_use]
    pub fn max_http2_send_bytes(mut self, bytes: usize) -> Self {
        self.max_http2_send_bytes = bytes.clamp(1024, u32::MAX as usize);
        self
    }

    /// Leaves the process's limit of open files as it is.
    ///
    /// By default a server raises the soft limit to the hard one when it starts, because the usual
    /// soft limit of 1,024 is for programs that use `select`. A program that starts such children
    /// by hand lowers it again for them, or keeps it with this setter.
    #[must_use]
    pub fn keep_file_limit(mut self) -> Self {
        self.raises_file_limit = false;
        self
    }
}

/// How long one server waits for its clients.
///
/// Zero is not "for ever" but "not at all", and no client is that fast. `Duration::MAX` waits for
/// ever, and one such client after the other then fills the server.
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
    /// From a connection's arrival to the end of its TLS handshake; then it is closed.
    ///
    /// Default: 10 s.
    #[must_use]
    pub fn tls_handshake(mut self, time: Duration) -> Self {
        self.tls_handshake = time;
        self
    }

    /// For a request's complete head: from the connection's arrival (or the end of its TLS
    /// handshake) for the first one, from its first byte for each later one on HTTP/1.1.
    ///
    /// Default: 10 s. A connection that is late is closed. A larger value lets one that drips
    /// bytes hold its place for longer; a smaller one hits clients on bad mobile links.
    #[must_use]
    pub fn head(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// For the next request of a connection that has had its answer.
    ///
    /// Default: 60 s. A proxy in front should close its idle connections earlier than that, or it
    /// may send a request into a connection that is just being closed.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// For the next bytes of a request body that somebody is reading.
    ///
    /// Default: 10 s. The reader of the body gets an error, and the request, if it has no answer
    /// yet, is answered with `408`. The length of the whole upload is not limited.
    #[must_use]
    pub fn body_read(mut self, time: Duration) -> Self {
        self.body_read = time;
        self
    }

    /// For a connection to take any of what waits to be written to it.
    ///
    /// Default: 30 s. The connection is then closed and its event streams count as too slow. On
    /// HTTP/2 it also holds for each stream by itself. A reader that takes a little within this
    /// time is slow but stays.
    #[must_use]
    pub fn write_stall(mut self, time: Duration) -> Self {
        self.write_stall = time;
        self
    }

    /// For the peer's system to acknowledge what was sent to it (`TCP_USER_TIMEOUT`), and the
    /// silence after which it is asked for a sign of life (`SO_KEEPALIVE`).
    ///
    /// Default: 30 s. It finds peers that vanished without a goodbye: within this time after
    /// something was sent, within twice this time if nothing was. Whole seconds for the latter.
    /// The first option exists on Linux and Android only.
    #[must_use]
    pub fn peer_silence(mut self, time: Duration) -> Self {
        self.peer_silence = time;
        self
    }

    /// Between two pings of an HTTP/2 connection.
    ///
    /// Default: 20 s.
    #[must_use]
    pub fn http2_ping_interval(mut self, time: Duration) -> Self {
        self.http2_ping_interval = time;
        self
    }

    /// For the answer to an HTTP/2 ping; then the connection is closed.
    ///
    /// Default: 20 s.
    #[must_use]
    pub fn http2_ping(mut self, time: Duration) -> Self {
        self.http2_ping = time;
        self
    }
}

/// How a server ends: streams within the window, everything by the deadline.
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

/// The window where nobody sets one.
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

    /// The time between "not ready" and the begin of the stop.
    ///
    /// Default: zero. The readiness route already says `stopping` while everything else goes on
    /// and connections are accepted: time for a load balancer to look and to send new clients
    /// elsewhere. Set it to a little more than the interval at which it looks.
    #[must_use]
    pub fn notice(mut self, time: Duration) -> Self {
        self.notice = time;
        self
    }

    /// The time over which open event streams are ended, each at its own moment.
    ///
    /// Default: 10 s. It is the time over which their clients come back somewhere else; zero
    /// sends them all at once. A server with few streams takes less of it.
    #[must_use]
    pub fn window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// The time after which connections that still work are cut, counted from the stop's begin.
    ///
    /// Default: 15 s. Keep it below what the supervisor allows before it kills (Kubernetes: 30 s,
    /// systemd: 90 s). One that is shorter than the [`window`](Self::window) that was set is refused at the start.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// How long after the deadline the process may live, where
    /// [`Application::run`](crate::Application::run) or `serve` runs it; then it is ended with
    /// status 1.
    ///
    /// Default: 10 s. It is the time for stop hooks and for `main` to return. A blocked thread
    /// keeps a runtime from ending, and would keep the process for ever.
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
        assert_eq!(Limits::default().places(1000).connections, 800);
    }

    #[test]
    fn a_refusal_takes_at_most_a_tenth_of_the_open_files() {
        let limits = Limits::default().max_refusals(1000);
        assert_eq!(limits.places(1000).refusals, 100);
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
