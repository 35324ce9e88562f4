//! The signals that stop a process: SIGTERM and Ctrl-C. The only place that listens for them.
//!
//! They are awaited on a thread of their own. A generator that blocks a thread of the
//! application's runtime may keep that runtime from seeing anything, a signal too; the process has
//! to end all the same.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Lifecycle;

/// Watches for signals from now on; the first is sent to the receiver by its name.
///
/// When this returns, the handlers are there: a signal that follows the first line that a program prints is never
/// one too early. A second one ends the process at once, with status 130. If the process still lives `last_resort` after
/// the first, it is ended with status 1.
pub(crate) fn watch_signals(last_resort: Option<Duration>) -> oneshot::Receiver<&'static str> {
    let (first, told) = oneshot::channel();
    let (ready, is_ready) = mpsc::channel::<()>();
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(async move {
                let signals = Signals::install();
                drop(ready);
                watch(signals, first, last_resort).await;
            }),
            Err(error) => tracing::warn!(%error, "signals cannot be received: {ADVICE}"),
        }
    };
    let thread = std::thread::Builder::new()
        .name("bellwether-signals".into())
        .spawn(watch);
    if let Err(error) = thread {
        tracing::warn!(%error, "signals cannot be received: {ADVICE}");
    }
    // Nothing is ever sent: the other end goes when the thread has got so far, or cannot.
    let _ = is_ready.recv();
    told
}

const ADVICE: &str = "stop the process from outside";

async fn watch(
    mut signals: Signals,
    first: oneshot::Sender<&'static str>,
    last_resort: Option<Duration>,
) {
    // The receiver is gone when the application has ended on its own.
    let _ = first.send(signals.next().await);
    let overdue = async {
        match last_resort {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // 128 + SIGINT, what a shell expects of an interrupted program.
        _ = signals.next() => std::process::exit(130),
        () = overdue => {
            let words = "bellwether: the process did not end after the stop\n";
            let _ = std::io::stderr().write_all(words.as_bytes());
            std::process::exit(1);
        }
    }
}

/// The handlers of SIGTERM and Ctrl-C.
struct Signals {
    #[cfg(unix)]
    handlers: Option<(Signal, Signal)>,
}

impl Signals {
    /// Needs a runtime.
    fn install() -> Self {
        Self {
            #[cfg(unix)]
            handlers: signal(SignalKind::terminate())
                .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
                .ok(),
        }
    }

    /// Resolves on the next signal, by its name.
    async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        if let Some((terminate, interrupt)) = &mut self.handlers {
            return tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "Ctrl-C",
            };
        }
        if tokio::signal::ctrl_c().await.is_err() {
            tracing::warn!("signals cannot be received here: {ADVICE}");
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// Waits for a watched signal. It never resolves where none can be received.
pub(crate) async fn first_signal(told: oneshot::Receiver<&'static str>) -> &'static str {
    match told.await {
        Ok(name) => name,
        Err(_) => std::future::pending().await,
    }
}

/// Resolves on SIGTERM or Ctrl-C, for an application that `axum::serve` serves.
///
/// Give it to `with_graceful_shutdown`: when the signal comes, [`is_stopping`](crate::is_stopping)
/// turns true, every event stream of the process ends on an event boundary within `window`, each
/// with its own `retry:`, and so axum's graceful shutdown completes. Without it axum waits for
/// open streams without end. A second signal ends the process at once.
///
/// `window` is the time over which streams are ended; 10 s is what [`Application`](crate::Application)
/// uses. Zero ends all at once.
///
/// ```no_run
/// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router) -> std::io::Result<()> {
/// use std::time::Duration;
///
/// axum::serve(listener, app)
///     .with_graceful_shutdown(bellwether::shutdown_signal(Duration::from_secs(10)))
///     .await
/// # }
/// ```
pub async fn shutdown_signal(window: Duration) {
    let name = first_signal(watch_signals(None)).await;
    let plan = Lifecycle::process().begin_stop(window);
    tracing::info!(signal = name, streams = plan.streams, "stopping");
}
