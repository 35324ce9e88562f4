//! The accounts of event streams: how many are open, and why each of the others closed.
//!
//! Every stream has one [`StreamGuard`], made before its response head and moved into its body.
//! Whatever happens to the body, dropping the guard returns the counts to where they were.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::time::Instant;

use super::Lifecycle;

/// Reason why a stream closed. Each stream closes for exactly one.
///
/// It is in the log line of the stream's end and is the `reason` label of `bellwether_streams_closed_total`.
///
/// ```
/// use bellwether::CloseReason;
///
/// let names: Vec<_> = CloseReason::ALL.iter().map(|reason| reason.as_str()).collect();
/// assert!(names.contains(&"client_left") && names.contains(&"too_slow"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The generator came to its end.
    Finished,
    /// The client closed or lost the connection.
    ClientLeft,
    /// The client did not take what was sent for too long, or fell too far behind its topics.
    TooSlow,
    /// The server is stopping.
    Stopping,
    /// The generator failed or panicked.
    Error,
    /// The subscription's subject was sent away ([`Topics::kick`](crate::Topics::kick)).
    Kicked,
    /// The subscription's time was over ([`Subscribe::expires_at`](crate::Subscribe::expires_at)).
    Expired,
}

impl CloseReason {
    /// Every reason, in the order of [`StreamCounts`].
    pub const ALL: [Self; 7] = [
        Self::Finished,
        Self::ClientLeft,
        Self::TooSlow,
        Self::Stopping,
        Self::Error,
        Self::Kicked,
        Self::Expired,
    ];

    /// Name of the reason in logs and as the `reason` label of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientLeft => "client_left",
            Self::TooSlow => "too_slow",
            Self::Stopping => "stopping",
            Self::Error => "error",
            Self::Kicked => "kicked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts of a server's streams at one moment.
///
/// `open` is `opened` less all that have closed, so nothing is lost between the two.
///
/// ```
/// use bellwether::{Application, CloseReason, Listener};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bellwether::Result<()> {
/// let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
/// let running = Application::new().start(listener).await?;
/// let counts = running.stop().await?;
/// assert_eq!((counts.open, counts.closed(CloseReason::Stopping)), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamCounts {
    /// Streams open now.
    pub open: u64,
    /// Streams opened since the start.
    pub opened: u64,
    /// Generators whose client has left and that are given a moment for their clean-up.
    pub leaving: u64,
    /// Streams that the delivery engine took over since the start; see
    /// [`StreamDefaults::no_engine`](crate::StreamDefaults::no_engine).
    pub engine: u64,
    closed: [u64; CloseReason::ALL.len()],
}

impl StreamCounts {
    /// Number of streams that have closed for `reason` since the start.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}

/// The counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    opened: AtomicU64,
    leaving: AtomicU64,
    engine: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
}

impl Streams {
    /// Streams open now.
    pub(crate) fn open(&self) -> u64 {
        self.counts().open
    }

    /// All counts. `closed` is read before `opened`, so `open` is never negative.
    pub(crate) fn counts(&self) -> StreamCounts {
        let closed = std::array::from_fn(|i| self.closed[i].load(Ordering::Acquire));
        let opened = self.opened.load(Ordering::Acquire);
        let open = opened - closed.iter().sum::<u64>();
        StreamCounts {
            open,
            opened,
            leaving: self.leaving.load(Ordering::Acquire),
            engine: self.engine.load(Ordering::Acquire),
            closed,
        }
    }

    /// The delivery engine has taken a stream.
    #[cfg(target_os = "linux")]
    pub(crate) fn note_engine(&self) {
        self.engine.fetch_add(1, Ordering::AcqRel);
    }

    /// A stream is sent on this path from now on.
    pub(crate) fn note_path(path: StreamPath) {
        StreamMetrics::shared().paths[path as usize].increment(1);
    }

    /// A generator is given its moment; the count falls when the value is dropped.
    pub(crate) fn begin_cleanup(lifecycle: &Lifecycle) -> CleanupGuard {
        lifecycle.streams().leaving.fetch_add(1, Ordering::AcqRel);
        CleanupGuard(lifecycle.clone())
    }
}

/// Who sends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamPath {
    /// Its own body, polled by the connection's task.
    Body,
    /// The delivery engine.
    Engine,
}

impl StreamPath {
    const ALL: [Self; 2] = [Self::Body, Self::Engine];

    fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Engine => "engine",
        }
    }
}

/// Counts one generator that is given a moment after its client has left.
#[derive(Debug)]
pub(crate) struct CleanupGuard(Lifecycle);

impl Drop for CleanupGuard {
    fn drop(&mut self) {
        self.0.streams().leaving.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Handles of the exported metrics, looked up once per process.
struct StreamMetrics {
    open: Gauge,
    opened: Counter,
    closed: [Counter; CloseReason::ALL.len()],
    paths: [Counter; StreamPath::ALL.len()],
    events: Counter,
    bytes: Counter,
}

impl StreamMetrics {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<StreamMetrics> = OnceLock::new();
        SHARED.get_or_init(|| Self {
            open: gauge!("bellwether_streams_open"),
            opened: counter!("bellwether_streams_opened_total"),
            closed: CloseReason::ALL
                .map(|r| counter!("bellwether_streams_closed_total", "reason" => r.as_str())),
            paths: StreamPath::ALL
                .map(|p| counter!("bellwether_streams_sent_total", "path" => p.as_str())),
            events: counter!("bellwether_events_sent_total"),
            bytes: counter!("bellwether_event_bytes_sent_total"),
        })
    }
}

/// One open stream. Dropping it closes the account for exactly one reason.
#[derive(Debug)]
pub(crate) struct StreamGuard {
    lifecycle: Lifecycle,
    path: Arc<str>,
    opened: Instant,
    reason: Option<CloseReason>,
    events: u64,
    bytes: u64,
}

impl StreamGuard {
    /// Opens the account of a stream on `path` (the matched route, never a query string).
    pub(crate) fn open(lifecycle: Lifecycle, path: Arc<str>) -> Self {
        lifecycle.streams().opened.fetch_add(1, Ordering::AcqRel);
        let metrics = StreamMetrics::shared();
        metrics.opened.increment(1);
        metrics.open.increment(1.0);
        tracing::info!(target: "bellwether::stream", path = &*path, "stream opened");
        Self {
            lifecycle,
            path,
            opened: Instant::now(),
            reason: None,
            events: 0,
            bytes: 0,
        }
    }

    /// The server's life that this stream is part of.
    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The matched route.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Adds to what was handed over for sending. Returns how many events there were before.
    pub(crate) fn count(&mut self, events: u64, bytes: usize) -> u64 {
        let before = self.events;
        self.events += events;
        self.bytes += bytes as u64;
        before
    }

    /// Settles why the stream closes; the first reason holds.
    pub(crate) fn close_for(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let reason = self.reason.unwrap_or(CloseReason::ClientLeft);
        self.lifecycle.streams().closed[reason as usize].fetch_add(1, Ordering::AcqRel);
        let metrics = StreamMetrics::shared();
        metrics.open.decrement(1.0);
        metrics.closed[reason as usize].increment(1);
        metrics.events.increment(self.events);
        metrics.bytes.increment(self.bytes);
        tracing::info!(
            target: "bellwether::stream",
            path = &*self.path,
            reason = reason.as_str(),
            events = self.events,
            bytes = self.bytes,
            seconds = self.opened.elapsed().as_secs_f64(),
            "stream closed"
        );
    }
}
