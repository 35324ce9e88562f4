//! The stop of a server, seen from inside: `is_stopping()` and `stopping().await`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use super::{Scoped, Streams, scope};

/// Whether the server that runs the calling code is stopping.
///
/// True from the moment a stop begins (SIGTERM, Ctrl-C, or a stop asked for in code). Inside a
/// handler or a generator it answers for the server that runs it; elsewhere, for instance in a
/// task of your own, for the process: the application that [`run`](crate::Application::run) runs,
/// or [`shutdown_signal`](crate::shutdown_signal).
///
/// A generator that calls this is trusted to end on its own. The stop does not end it at a random moment of the
/// drain window like the others: it may run until the window closes.
///
/// ```
/// assert!(!bellwether::is_stopping());
/// ```
#[must_use]
pub fn is_stopping() -> bool {
    scope::note_stop_checked();
    scope::current().is_stopping()
}

/// Resolves when the server that runs the calling code is stopping; at once if it already is.
///
/// The awaitable form of [`is_stopping`], with the same scope, fixed at the call. Dropping the
/// future has no effect.
///
/// ```
/// # async fn work() {}
/// # async fn generator() {
/// tokio::select! {
///     () = bellwether::stopping() => { /* send the last event */ }
///     () = work() => {}
/// }
/// # }
/// ```
pub fn stopping() -> Stopping {
    scope::note_stop_checked();
    Stopping {
        stopped: scope::current().stopping(),
    }
}

pin_project! {
    /// The future of [`stopping`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Stopping {
        #[pin]
        stopped: WaitForCancellationFutureOwned,
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        scope::note_stop_checked();
        self.project().stopped.poll(cx)
    }
}

/// How the streams of a server end once its stop has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainPlan {
    /// When the stop began.
    pub(crate) began: Instant,
    /// Streams end within this time after `began`.
    pub(crate) window: Duration,
    /// How many streams were open when the stop began.
    pub(crate) streams: u64,
}

impl DrainPlan {
    /// At most this many streams a second are ended. The spread protects the servers that
    /// take the reconnects, and a server with few streams does not use its whole window.
    const ENDS_PER_SECOND: u64 = 200;

    /// The part of the window over which this many streams spread.
    pub(crate) fn spread(&self) -> Duration {
        let needed =
            Duration::from_millis(self.streams.saturating_mul(1000) / Self::ENDS_PER_SECOND);
        needed.min(self.window)
    }

    /// When a stream that does not end on its own is ended; `share` in 0..1 is its position in the window.
    pub(crate) fn moment(&self, share: f32) -> Instant {
        after(self.began, self.spread().mul_f64(f64::from(share)))
    }

    /// When a stream that calls `is_stopping()`, or that may run to its end, is ended all the same.
    pub(crate) fn last_moment(&self) -> Instant {
        after(self.began, self.window)
    }
}

/// A time after an instant, however long: what is beyond every clock is as far away as one can say.
pub(crate) fn after(instant: Instant, time: Duration) -> Instant {
    let far = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    instant.checked_add(time).unwrap_or_else(|| instant + far)
}

/// The life of one server: running or stopping, its open streams, the tasks a stop waits for.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle(Arc<LifecycleInner>);

#[derive(Debug)]
struct LifecycleInner {
    is_unready: AtomicBool,
    stopping: CancellationToken,
    plan: OnceLock<DrainPlan>,
    tracker: TaskTracker,
    streams: Streams,
    /// The routes of streams, each kept once. Held for a search or a push.
    routes: Mutex<Vec<Arc<str>>>,
}

/// Guards the lifecycle of the process; held for a clone or a store only.
static PROCESS: RwLock<Option<Lifecycle>> = RwLock::new(None);

impl Lifecycle {
    /// A lifecycle of its own, for one server.
    pub(crate) fn new() -> Self {
        Self(Arc::new(LifecycleInner {
            is_unready: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            plan: OnceLock::new(),
            tracker: TaskTracker::new(),
            streams: Streams::default(),
            routes: Mutex::default(),
        }))
    }

    /// The lifecycle of the server that runs the calling code, or the process's.
    pub(crate) fn current() -> Self {
        scope::current()
    }

    /// The lifecycle for code that another server runs: that of the application which the
    /// process runs, or one of its own.
    pub(crate) fn process() -> Self {
        if let Some(lifecycle) = &*PROCESS.read().unwrap_or_else(PoisonError::into_inner) {
            return lifecycle.clone();
        }
        let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
        process.get_or_insert_with(Self::new).clone()
    }

    /// Makes this the lifecycle of the process.
    pub(crate) fn become_process(&self) {
        *PROCESS.write().unwrap_or_else(PoisonError::into_inner) = Some(self.clone());
    }

    /// From now on the server says that it is not ready.
    pub(crate) fn mark_unready(&self) {
        self.0.is_unready.store(true, Ordering::Release);
    }

    /// Whether new clients are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.0.is_unready.load(Ordering::Acquire)
    }

    /// Begins the stop. The first call counts; its plan holds.
    pub(crate) fn begin_stop(&self, window: Duration) -> DrainPlan {
        let plan = *self.0.plan.get_or_init(|| DrainPlan {
            began: Instant::now(),
            window,
            streams: self.streams().open(),
        });
        self.mark_unready();
        self.0.stopping.cancel();
        plan
    }

    /// Whether the stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Resolves when the stop has begun.
    pub(crate) fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.0.stopping.clone().cancelled_owned()
    }

    /// The plan of the stop, once it has begun.
    pub(crate) fn plan(&self) -> Option<&DrainPlan> {
        self.0.plan.get()
    }

    /// Runs `future` so that `is_stopping()` inside it answers for this lifecycle.
    pub(crate) fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::new(self.clone(), future)
    }

    /// The tasks that a stop waits for.
    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.0.tracker
    }

    /// The name of a route, shared by all its streams.
    pub(crate) fn route(&self, name: &str) -> Arc<str> {
        /// Further ones are kept by each stream.
        const MAX_ROUTES: usize = 64;
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let route = Arc::<str>::from(name);
        if routes.len() < MAX_ROUTES {
            routes.push(Arc::clone(&route));
        }
        route
    }

    /// The open streams and the accounts of the closed ones.
    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(streams: u64) -> DrainPlan {
        DrainPlan {
            began: Instant::now(),
            window: Duration::from_secs(10),
            streams,
        }
    }

    #[test]
    fn few_streams_do_not_take_the_whole_drain_window() {
        assert_eq!(plan(1).spread(), Duration::from_millis(5));
        assert_eq!(plan(10).spread(), Duration::from_millis(50));
    }

    #[test]
    fn many_streams_spread_over_the_drain_window_and_no_further() {
        assert_eq!(plan(1_000).spread(), Duration::from_secs(5));
        assert_eq!(plan(1_000_000).spread(), Duration::from_secs(10));
        let plan = plan(1_000_000);
        assert_eq!(plan.moment(0.5), plan.began + Duration::from_secs(5));
        assert_eq!(plan.last_moment(), plan.began + Duration::from_secs(10));
    }

    #[tokio::test]
    async fn is_stopping_answers_for_the_server_that_runs_the_code() {
        let (one, other) = (Lifecycle::new(), Lifecycle::new());
        one.begin_stop(Duration::from_secs(1));
        assert!(one.scope(async { is_stopping() }).await);
        assert!(!other.scope(async { is_stopping() }).await);
        assert!(!is_stopping());
        one.scope(async { stopping().await }).await;
    }
}
