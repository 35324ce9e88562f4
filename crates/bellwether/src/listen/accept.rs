//! The accept loop: takes what the kernel has, admits or refuses it, and survives a full table of
//! open files without spinning.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ServerContext;
use super::connection::Connection;
use super::listener::{Listener, ip};
use super::socket::Socket;
use crate::admission::{Admission, Permit, Refusal};

/// The pause after an accept that failed for want of something, in milliseconds. Its length is
/// random, so that servers on one machine do not try in step.
const PAUSE_MILLIS: std::ops::RangeInclusive<u64> = 50..=500;

/// Accepts until the stop begins. The listener is closed when this returns.
pub(super) async fn run(shared: &Arc<ServerContext>, listener: Listener) {
    listener.prepare(&shared.limits, &shared.timeouts);
    let mut failures = Shortage::default();
    let mut full = Shortage::default();
    let mut stopping = std::pin::pin!(shared.lifecycle.stopping());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.as_mut() => return,
            accepted = listener.accept(&shared.limits, &shared.timeouts) => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(connection) => connection,
            // The client disconnected before it was accepted.
            Err(error) if is_of_client(&error) => continue,
            Err(error) => {
                note_failure(&mut failures, &error);
                tokio::select! {
                    biased;
                    () = stopping.as_mut() => return,
                    () = tokio::time::sleep(pause()) => continue,
                }
            }
        };
        note_success(&mut failures);
        let admission = loop {
            match shared.permits.admit(ip(peer)) {
                // A browser takes a connection that is closed unanswered for a fault of the network, and tries it ten
                // times more. The next client waits in the listener's queue.
                Admission::Hold => {
                    note_full(&mut full);
                    tokio::select! {
                        biased;
                        () = stopping.as_mut() => return,
                        () = shared.permits.room() => {}
                    }
                }
                admission => break admission,
            }
        };
        match admission {
            Admission::Hold => {}
            Admission::Serve(permit) => serve(shared, socket, peer, permit, None),
            Admission::Refuse(permit, why) => {
                if why == Refusal::Full {
                    note_full(&mut full);
                }
                serve(shared, socket, peer, permit, Some(why));
            }
            Admission::Close(why) => {
                tracing::debug!(?peer, reason = why.as_str(), "connection closed at once");
            }
        }
    }
}

fn serve(
    shared: &Arc<ServerContext>,
    socket: Socket,
    peer: Option<std::net::SocketAddr>,
    permit: Permit,
    refusal: Option<Refusal>,
) {
    match refusal {
        None => tracing::debug!(?peer, "connection accepted"),
        Some(why) => tracing::debug!(?peer, reason = why.as_str(), "connection refused"),
    }
    let connection = Connection::new(Arc::clone(shared), socket, peer, permit, refusal);
    let lifecycle = &shared.lifecycle;
    lifecycle.tracker().spawn(lifecycle.scope(connection));
}

/// Whether accepting failed because the client closed its end.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn pause() -> Duration {
    Duration::from_millis(fastrand::u64(PAUSE_MILLIS))
}

/// A time in which something is short: it begins with the first want, and is over a minute after the last. A crowd comes and
/// goes around a limit, and each time is told once.
#[derive(Debug, Default)]
struct Shortage {
    last_at: Option<Instant>,
    count: u64,
}

impl Shortage {
    const OVER_AFTER: Duration = Duration::from_secs(60);

    /// Notes a want; whether a time begins with it.
    fn begins(&mut self, now: Instant) -> bool {
        let _ = self.ends(now);
        self.count += 1;
        self.last_at.replace(now).is_none()
    }

    /// The number of wants of a time that is over.
    fn ends(&mut self, now: Instant) -> Option<u64> {
        let last_at = self.last_at?;
        if now.duration_since(last_at) <= Self::OVER_AFTER {
            return None;
        }
        self.last_at = None;
        Some(std::mem::take(&mut self.count))
    }
}

fn note_full(full: &mut Shortage) {
    if full.begins(Instant::now()) {
        tracing::warn!(
            target: "bellwether::health",
            "the server is full and refuses further clients: raise the limit of open files, of which connections take 80 % \
             (`ulimit -n`, or LimitNOFILE= of a systemd unit), or `Limits::max_connections` if it is set"
        );
    }
}

fn note_failure(failures: &mut Shortage, error: &io::Error) {
    if failures.begins(Instant::now()) {
        tracing::warn!(
            target: "bellwether::health",
            %error,
            "cannot accept connections, trying again: if too many files are open, raise the limit (`ulimit -n`, or \
             LimitNOFILE= of a systemd unit) or set a smaller `Limits::max_connections`"
        );
    }
}

fn note_success(failures: &mut Shortage) {
    // Without failures, which is nearly always, the clock is not asked.
    if failures.last_at.is_some()
        && let Some(failures) = failures.ends(Instant::now())
    {
        tracing::info!(target: "bellwether::health", failures, "accepting connections again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_once_until_a_minute_without_a_want() {
        let mut shortage = Shortage::default();
        let now = Instant::now();
        let second = |second| now + Duration::from_secs(second);
        let told = [0, 1, 60, 120, 181].map(|at| shortage.begins(second(at)));
        assert_eq!(told, [true, false, false, false, true]);
        assert_eq!(shortage.ends(second(241)), None);
        assert_eq!(shortage.ends(second(242)), Some(1));
        assert_eq!(shortage.ends(second(500)), None);
    }
}
