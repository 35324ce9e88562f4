//! The server: accepts connections, serves each within its limits, and ends them in good order.
//!
//! One task accepts, one task serves each connection. [`listener`] opens the socket, [`admission`](crate::admission)
//! decides who gets in, [`connection`] drives hyper, [`io`] watches the socket, [`clock`] holds
//! its timeouts. Requests are answered by the router.

mod accept;
mod clock;
mod connection;
mod connection_state;
mod executor;
mod io;
mod limits;
mod listener;
mod refusal;
mod service;
mod socket;
mod streaming;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{ConnectionMetrics, Permits};
use crate::lifecycle::{Lifecycle, after};

pub use limits::{Drain, Limits, Timeouts};
pub use listener::{Listener, ListenerAddress};
#[cfg(target_os = "linux")]
#[cfg(feature = "tls")]
pub use tls::Tls;

use crate::send::CachedDate;
#[cfg(target_os = "linux")]
use crate::send::{Engine, EngineConfig};
use executor::StreamExecutor;

/// How long tasks may take to end once their connections were cut.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// What a stop did to the event streams that were open when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainReport {
    /// Streams that had ended by the deadline.
    pub(crate) ended: u64,
    /// Streams that were cut at the deadline.
    pub(crate) cut: u64,
}

/// Serves one router on one listener until its lifecycle stops.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain: Drain,
    /// Paths that a full server answers too.
    pub(crate) probes: Vec<String>,
}

/// What all connections of a server have in common.
struct ServerContext {
    router: Router,
    /// Paths that a full server answers too.
    probes: Vec<String>,
    lifecycle: Lifecycle,
    limits: Limits,
    timeouts: Timeouts,
    permits: Permits,
    /// Cancelled when the drain's time is over.
    cut: CancellationToken,
    http1: http1::Builder,
    /// For connections that get one answer.
    http1_once: http1::Builder,
    /// The date of response heads.
    date: CachedDate,
    #[cfg(target_os = "linux")]
    engine: Engine,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Server {
    /// Accepts and serves until the lifecycle's stop begins, then drains.
    ///
    /// The caller that begins the stop passes the drain's window to it; the deadline is kept here. When
    /// this returns, no connection is left. Failures to accept are retried, so there
    /// is no error to return.
    pub(crate) async fn run(self, listener: Listener) -> DrainReport {
        let drain = self.drain;
        let shared = Arc::new_cyclic(|shared| ServerContext {
            #[cfg(feature = "tls")]
            tls: listener.tls().cloned(),
            ..self.share(shared.clone())
        });
        accept::run(&shared, listener).await;
        finish(&shared, drain).await
    }

    /// `back` leads to what this makes, for connections that the delivery engine gives back.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    fn share(self, back: Weak<ServerContext>) -> ServerContext {
        let files = open_files(self.limits.raises_file_limit);
        let http1 = http1(&self.limits);
        let mut http1_once = http1.clone();
        http1_once.keep_alive(false);
        let cut = CancellationToken::new();
        ServerContext {
            #[cfg(target_os = "linux")]
            engine: Engine::new(EngineConfig {
                lifecycle: self.lifecycle.clone(),
                cut: cut.clone(),
                write_stall: self.timeouts.write_stall,
                give_back: Box::new(move |returned| {
                    if let Some(shared) = back.upgrade() {
                        streaming::resume_connection(&shared, returned);
                    }
                }),
            }),
            permits: Permits::new(
                self.limits.connection_limits(files),
                ConnectionMetrics::new(),
            ),
            router: self.router,
            probes: self.probes,
            lifecycle: self.lifecycle,
            limits: self.limits,
            timeouts: self.timeouts,
            cut,
            http1,
            http1_once,
            date: CachedDate::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// Waits for the connections; cuts those that are left at the deadline.
async fn finish(shared: &ServerContext, drain: Drain) -> DrainReport {
    let lifecycle = &shared.lifecycle;
    let (began, streams) = lifecycle
        .plan()
        .map_or_else(|| (Instant::now(), 0), |plan| (plan.began, plan.streams));
    let tracker = lifecycle.tracker();
    tracker.close();
    let remaining = after(began, drain.deadline).saturating_duration_since(Instant::now());
    let mut cut = 0;
    if tokio::time::timeout(remaining, tracker.wait())
        .await
        .is_err()
    {
        cut = lifecycle.streams().open();
        shared.cut.cancel();
        if tokio::time::timeout(AFTER_CUT, tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(tasks = tracker.len(), "tasks are left after the stop");
        }
    }
    DrainReport {
        ended: streams.saturating_sub(cut),
        cut,
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The connection's own clock keeps the time, from the first byte on.
        .header_read_timeout(None)
        // Bounds the write buffer too.
        .max_buf_size(limits.max_head_bytes)
        .max_header_size(limits.max_head_bytes);
    // Setting it costs an allocation for each request, even at hyper's own default.
    if limits.max_head_fields != Limits::default().max_head_fields {
        builder.max_headers(limits.max_head_fields);
    }
    builder
}

impl ServerContext {
    fn http2(&self, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
        let mut builder = http2::Builder::new(executor);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.max_http2_streams)
            .max_header_list_size(u32::try_from(self.limits.max_head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(self.limits.max_http2_send_bytes)
            // Against rapid resets: requests that are reset before they are read, and
            // errors that a client provokes, end the connection at these counts.
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(1024)
            .keep_alive_interval(reachable(self.timeouts.http2_ping_interval))
            .keep_alive_timeout(self.timeouts.http2_ping.min(LONGEST))
            // WebSockets over HTTP/2 (RFC 8441).
            .enable_connect_protocol();
        builder
    }
}

/// So long that no connection lives to see it, and not so long that a clock cannot reach it.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// A time that a clock can reach.
fn reachable(time: Duration) -> Option<Duration> {
    (time < LONGEST).then_some(time)
}

/// How many files the process may open, after raising that number as far as it may.
#[cfg(unix)]
fn open_files(raise: bool) -> usize {
    let limit = if raise {
        rlimit::increase_nofile_limit(u64::MAX)
    } else {
        rlimit::Resource::NOFILE.get_soft()
    };
    match limit {
        Ok(files) => usize::try_from(files).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is unknown, 1024 is assumed");
            1024
        }
    }
}

/// Other systems have no such limit that a server would reach first.
#[cfg(not(unix))]
fn open_files(_raise: bool) -> usize {
    65_536
}
