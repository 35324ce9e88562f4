//! The accept loop: takes what the kernel has, admits or refuses it, and survives a full table of
//! open files without spinning.

use std::io;
use std::sync::Arc;
use std::time::Duration;

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
    let mut failures = AcceptFailures::default();
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
                failures.note(&error);
                tokio::select! {
                    biased;
                    () = stopping.as_mut() => return,
                    () = tokio::time::sleep(pause()) => continue,
                }
            }
        };
        failures.end();
        let admission = loop {
            match shared.permits.admit(ip(peer)) {
                // A browser takes a connection that is closed unanswered for a fault of the network, and tries it ten
                // times more. The next client waits in the listener's queue.
                Admission::Hold => tokio::select! {
                    biased;
                    () = stopping.as_mut() => return,
                    () = shared.permits.room() => {}
                },
                admission => break admission,
            }
        };
        match admission {
            Admission::Hold => {}
            Admission::Serve(permit) => serve(shared, socket, peer, permit, None),
            Admission::Refuse(permit, why) => serve(shared, socket, peer, permit, Some(why)),
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

/// Counts failures to accept in a row: one warning at the first, one line when accepting works again.
#[derive(Debug, Default)]
struct AcceptFailures {
    failures: u64,
}

impl AcceptFailures {
    fn note(&mut self, error: &io::Error) {
        if self.failures == 0 {
            tracing::warn!(%error, "cannot accept connections, trying again");
        }
        self.failures += 1;
    }

    fn end(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "accepting connections again");
            self.failures = 0;
        }
    }
}
