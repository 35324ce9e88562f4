//! [`Link`]: the connection to NATS, and requests over it that end in time.
//!
//! The client crate reconnects on its own, and queues what it gets meanwhile, to send it late. Neither a request nor a
//! record may wait that way, so this module sends nothing while there is no connection. A task that waits for a
//! response or for messages is woken when the connection breaks, since what was under way is then lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, RequestErrorKind, ServerAddr};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::{self, ApiError};
use crate::error::{ConnectError, Kind};
use crate::name;
use crate::observe::Metrics;

/// How often the client pings a silent server; after three pings without a response it reconnects.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// How often tasks that wait for the connection check its state, beside the client's events.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The most commands that wait for the socket.
const COMMANDS: usize = 2048;
/// The most messages that wait in a subscription; a pull asks for fewer.
const MESSAGES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    /// The prefix of the subjects of JetStream's API.
    api: String,
    request_timeout: Duration,
    signals: Arc<Signals>,
}

/// What the client's events change.
#[derive(Debug)]
struct Signals {
    /// Rises whenever something may have changed: connected, disconnected, shut down.
    changes: watch::Sender<u64>,
    is_shut_down: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Signals {
    fn notify(&self) {
        self.changes
            .send_modify(|number| *number = number.wrapping_add(1));
    }

    fn on_event(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.metrics.connected.set(1.0);
                tracing::info!("connected to NATS");
            }
            Event::Disconnected => {
                self.metrics.connected.set(0.0);
                self.metrics.disconnects.increment(1);
                // The topics log a warning if the broker stays away.
                tracing::info!("the connection to NATS is lost");
            }
            Event::Closed => self.metrics.connected.set(0.0),
            Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
            Event::SlowConsumer(_) => tracing::warn!("messages from NATS were dropped"),
            _ => {}
        }
        self.notify();
    }
}

/// Identifies a connection. A later one may have missed messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// The credentials of a client.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<(String, String)>,
    pub(crate) token: Option<String>,
}

/// The servers of an address, without the user, and the user's credentials.
pub(crate) fn servers(address: &str) -> Result<(Vec<ServerAddr>, Login), ConnectError> {
    let mut login = Login::default();
    let mut servers = Vec::new();
    for one in address.split(',') {
        let invalid = |source: std::io::Error| {
            let message = format!(
                "address {:?} is no address of NATS: expected nats://host:port, tls://host:port, or several of \
                 them with commas between",
                redact(one)
            );
            ConnectError::new(Kind::Invalid, message).with_source(source)
        };
        let server: ServerAddr = one.trim().parse().map_err(invalid)?;
        if server.host().is_empty() {
            return Err(invalid(std::io::Error::other("it names no host")));
        }
        // The client would send a percent-encoded password as it is written.
        let plain = |text: &str| name::decode(text).unwrap_or_else(|| text.to_owned());
        match (server.username(), server.password()) {
            (Some(user), Some(password)) => login.user = Some((plain(user), plain(password))),
            (Some(token), None) => login.token = Some(plain(token)),
            (None, _) => {}
        }
        let mut url = server.into_inner();
        // Both fail only for addresses without a host, which have no user either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        servers.push(ServerAddr::from_url(url).map_err(invalid)?);
    }
    Ok((servers, login))
}

/// The address without user and password, for logs.
pub(crate) fn redact(address: &str) -> String {
    let one = |server: &str| {
        let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
        // The last `@` ends the user's part, since a password may contain others.
        match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}"),
            None => server.to_owned(),
        }
    };
    address.split(',').map(one).collect::<Vec<_>>().join(",")
}

impl Link {
    pub(crate) async fn connect(
        address: &str,
        login: Login,
        api: String,
        within: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ConnectError> {
        let (servers, in_address) = servers(address)?;
        // A call makes at most two requests in a row before it can report an error.
        let request_timeout = within / 2;
        let signals = Arc::new(Signals {
            changes: watch::Sender::new(0),
            is_shut_down: AtomicBool::new(false),
            metrics,
        });
        let listener = signals.clone();
        let mut options = ConnectOptions::new()
            .name("bellwether")
            .ping_interval(PING_INTERVAL)
            .connection_timeout(within)
            .request_timeout(Some(request_timeout))
            .client_capacity(COMMANDS)
            .subscription_capacity(MESSAGES)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                listener.on_event(&event);
                std::future::ready(())
            });
        if let Some((user, password)) = login.user.or(in_address.user) {
            options = options.user_and_password(user, password);
        }
        if let Some(token) = login.token.or(in_address.token) {
            options = options.token(token);
        }
        let shown = redact(address);
        let connected = timeout(within, options.connect(servers)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(refusal(&shown, error)),
            Err(_) => {
                let message = format!(
                    "no NATS server at {shown} answered within {within:?}: is it running, and is the address right?"
                );
                return Err(ConnectError::new(Kind::Unreachable, message));
            }
        };
        if !client.server_info().headers {
            let message =
                format!("the NATS server at {shown} has no headers: 2.9 or newer is needed");
            return Err(ConnectError::new(Kind::Unsupported, message));
        }
        signals.metrics.connected.set(1.0);
        Ok(Self {
            client,
            api,
            request_timeout,
            signals,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.signals.is_shut_down.load(Ordering::Acquire)
    }

    /// The present connection, if there is one.
    pub(crate) fn generation(&self) -> Option<Generation> {
        let connects = &self.client.statistics().connects;
        // Read before the state: between the two the connection may only break, which the user of the number notices.
        let number = connects.load(Ordering::Acquire);
        (self.client.connection_state() == State::Connected).then_some(Generation(number))
    }

    /// Fails unless there is a connection and the log is not shut down.
    pub(crate) fn current(&self) -> Result<Generation, ApiError> {
        if self.is_shut_down() {
            return Err(ApiError::ShutDown);
        }
        self.generation().ok_or(ApiError::NotConnected)
    }

    /// Waits for a connection until the deadline.
    pub(crate) async fn connected(&self, deadline: Instant) -> Result<Generation, ApiError> {
        let mut changes = self.changes();
        loop {
            match self.current() {
                Err(ApiError::NotConnected) => {}
                answer => return answer,
            }
            // The client may drop events when there are too many, so the wait for one ends now and then.
            let check_at = deadline.min(Instant::now() + CHECK_INTERVAL);
            let _ = timeout_at(check_at, changes.changed()).await;
            if Instant::now() >= deadline {
                return self.current();
            }
        }
    }

    /// Rises when the connection may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.signals.changes.subscribe()
    }

    /// Waits until this connection is lost.
    pub(crate) async fn lost(&self, generation: Generation) -> ApiError {
        let mut changes = self.changes();
        loop {
            match self.current() {
                Ok(current) if current == generation => {}
                Ok(_) => return ApiError::NotConnected,
                Err(error) => return error,
            }
            // The event comes a moment before the client's state changes, and the client may drop it.
            let _ = timeout(CHECK_INTERVAL, changes.changed()).await;
        }
    }

    /// Sends a request to JetStream's API. Returns the response, or fails within the request timeout.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        request: Bytes,
    ) -> Result<T, ApiError> {
        let generation = self.current()?;
        let subject = self.api_subject(what);
        let answer = tokio::select! {
            answer = timeout(self.request_timeout, self.client.request(subject, request)) => answer,
            error = self.lost(generation) => return Err(error),
        };
        let message = match answer {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => {
                return Err(match error.kind() {
                    RequestErrorKind::NoResponders => ApiError::NoResponders,
                    RequestErrorKind::TimedOut => ApiError::TimedOut,
                    _ => ApiError::NotConnected,
                });
            }
            Err(_) => return Err(ApiError::TimedOut),
        };
        api::parse(&message.payload)
    }

    pub(crate) fn api_subject(&self, what: &str) -> String {
        format!("{}.{what}", self.api)
    }

    /// Ends all waits, and closes the connection.
    pub(crate) async fn shut_down(&self) {
        if self.signals.is_shut_down.swap(true, Ordering::AcqRel) {
            return;
        }
        self.signals.notify();
        // Without a connection there is nothing to flush, and the client would wait for one.
        if self.generation().is_some() {
            let _ = timeout(self.request_timeout, self.client.flush()).await;
        }
        let _ = timeout(self.request_timeout, self.client.drain()).await;
        self.signals.metrics.connected.set(0.0);
    }
}

/// 0, then 25 ms doubled up to a second, of which a random half is left out, so that nodes do not reconnect at the same
/// moment.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = match u32::try_from(attempts) {
        Ok(0 | 1) => return Duration::ZERO,
        Ok(attempts) => attempts.min(10),
        Err(_) => 10,
    };
    let delay = Duration::from_millis(25) * 2_u32.pow(doublings - 2);
    delay
        .min(MAX_RECONNECT_DELAY)
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn refusal(address: &str, error: async_nats::ConnectError) -> ConnectError {
    let (kind, message) = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => (
            Kind::Unauthorized,
            format!(
                "the NATS server at {address} refused the user: check user and password, or the token, in the address or the builder"
            ),
        ),
        ConnectErrorKind::Tls => (
            Kind::Unreachable,
            format!("the NATS server at {address} and this program did not agree on TLS"),
        ),
        ConnectErrorKind::ServerParse => (
            Kind::Invalid,
            format!("address {address:?} is no address of NATS"),
        ),
        _ => (
            Kind::Unreachable,
            format!(
                "no NATS server could be reached at {address}: is it running, and is the address right?"
            ),
        ),
    };
    ConnectError::new(kind, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_what_is_shown() {
        assert_eq!(redact("nats://u:p@h:1,n2"), "nats://***@h:1,n2");
        assert_eq!(redact("nats://u:p@x@h"), "nats://***@h");
        assert_eq!(redact("tok@h"), "nats://***@h");
        assert_eq!(redact("tls://h:1"), "tls://h:1");
    }

    #[test]
    fn the_user_of_an_address_is_decoded_and_taken_out() {
        let (all, login) = servers("nats://us%40r:p%3Aw@127.0.0.1:5,tls://b").unwrap();
        assert_eq!(login.user, Some(("us@r".to_owned(), "p:w".to_owned())));
        assert!(all.iter().all(|server| !server.has_user_pass()));
        assert_eq!((all[0].port(), all[1].port()), (5, 4222));
        let (_, login) = servers("nats://t0ken@h").unwrap();
        assert_eq!(login.token.as_deref(), Some("t0ken"));
        let error = servers("http://u:secret@h").err().unwrap();
        assert!(error.is_invalid() && !error.to_string().contains("secret"));
    }

    #[test]
    fn reconnects_are_soon_and_never_far_apart() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempts in [2, 3, 10, 1000, usize::MAX] {
            let delay = reconnect_delay(attempts);
            assert!(delay >= Duration::from_millis(12) && delay <= MAX_RECONNECT_DELAY);
        }
    }
}
