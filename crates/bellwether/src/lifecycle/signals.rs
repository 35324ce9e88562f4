//! The signals that stop a process: SIGTERM and Ctrl-C. The only place that listens for them.

use std::time::Duration;

use super::Lifecycle;

/// Resolves on the next SIGTERM or Ctrl-C; the name of the signal says which.
async fn next_signal() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate());
        let interrupt = signal(SignalKind::interrupt());
        if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
            return tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "Ctrl-C",
            };
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        tracing::warn!("signals cannot be received here: stop the process from outside");
        std::future::pending::<()>().await;
    }
    "Ctrl-C"
}

/// Waits for the first stop signal; from then on a second one ends the process at once.
pub(crate) async fn stop_signal() -> &'static str {
    let name = next_signal().await;
    tokio::spawn(async {
        let name = next_signal().await;
        tracing::warn!(signal = name, "second signal: exiting now");
        // 128 + SIGINT, what a shell expects of an interrupted program.
        std::process::exit(130);
    });
    name
}

/// Resolves on SIGTERM or Ctrl-C, for an application that `axum::serve` serves.
///
/// Give it to `with_graceful_shutdown`: when the signal comes, [`is_stopping`](crate::is_stopping)
/// turns true, every event stream of the process ends on an event boundary within `window`, each
/// with its own `retry:`, and so axum's graceful shutdown completes. Without it axum waits for
/// open streams for ever. A second signal ends the process at once.
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
    let name = stop_signal().await;
    let plan = Lifecycle::process().begin_stop(window);
    tracing::info!(signal = name, streams = plan.streams, "stopping");
}
