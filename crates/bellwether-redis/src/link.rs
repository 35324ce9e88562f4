//! A connection that is replaced once it is in doubt, and the timeout of every call.
//!
//! A reply that was not received is still under way, and the next call would wait behind it. So a connection that was
//! silent or broke is never used again. A connection whose caller went away, or that was idle, must answer a `PING`
//! first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use crate::damage::Damage;
use crate::failure::{ErrorReply, Failure};
use crate::observe::Metrics;
use crate::scripts::{self, Digests};

/// A connection that was idle for this time may have been closed by the server or by a device on the way.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// The interval of the thorough checks of the log: whether the server is still a primary, and whether the stream was
/// changed by hand.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time that a connection in doubt has to answer a `PING`, if a quarter of the timeout is not shorter.
const PROBE: Duration = Duration::from_millis(500);

/// The server, and what all connections to it share.
pub(crate) struct Server {
    pub(crate) client: redis::Client,
    /// Host and port or path, and database, without name and password.
    pub(crate) address: String,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Metrics,
    /// True once the broker is shut down.
    pub(crate) is_shut: watch::Sender<bool>,
    pub(crate) damage: Damage,
}

impl Server {
    /// Bounds a call in time, and ends it when the broker is shut down.
    pub(crate) async fn bounded<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut shut = self.is_shut.subscribe();
        tokio::select! {
            biased;
            // The sender is in `self`, so this ends only by the shutdown.
            _ = shut.wait_for(|is_shut| *is_shut) => Err(Failure::ShutDown),
            result = tokio::time::timeout(timeout, call) => {
                result.unwrap_or(Err(Failure::TimedOut(timeout)))
            }
        }
    }

    /// A new connection. The caller bounds the time.
    pub(crate) async fn open(&self) -> Result<Connection, Failure> {
        let opened = self.try_open().await;
        match &opened {
            Ok(_) => self.metrics.connects.increment(1),
            Err(_) => self.metrics.connect_failed.increment(1),
        }
        opened
    }

    async fn try_open(&self) -> Result<Connection, Failure> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let inner = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Connection { inner })
    }
}

/// A connection on which the client crate matches replies to calls, so that a dropped call does not mix them up.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
}

impl Connection {
    /// Sends commands in one pipeline. Returns a reply or the server's error for each.
    pub(crate) async fn send(&self, commands: &redis::Pipeline) -> Result<Vec<Value>, Failure> {
        let count = commands.cmd_iter().count();
        let mut inner = self.inner.clone();
        let answers = inner.send_packed_commands(commands, 0, count).await?;
        match answers.len() == count {
            true => Ok(answers),
            false => Err(Failure::UnexpectedReply("not one answer to each command")),
        }
    }

    /// Loads the scripts into the server.
    pub(crate) async fn load_scripts(&self) -> Result<Digests, Failure> {
        let answers = self.send(&scripts::load()).await?;
        let mut digests = answers.into_iter().map(|answer| match checked(answer)? {
            Value::BulkString(digest) => Ok(String::from_utf8_lossy(&digest).into_owned()),
            _ => Err(Failure::UnexpectedReply("a script has no digest")),
        });
        let mut next = || {
            let missing = || Err(Failure::UnexpectedReply("a script has no digest"));
            digests.next().unwrap_or_else(missing)
        };
        Ok(Digests {
            append: next()?,
            read: next()?,
            newest: next()?,
        })
    }
}

/// The reply, or the failure if it is the server's error.
pub(crate) fn checked(answer: Value) -> Result<Value, Failure> {
    match answer {
        Value::ServerError(error) => Err(Failure::ErrorReply(ErrorReply::new(&error))),
        answer => Ok(answer),
    }
}

/// The calls of one kind to the server, over one connection at a time.
pub(crate) struct Link {
    server: Arc<Server>,
    /// Guards the present connection.
    slot: Mutex<Arc<Slot>>,
}

/// A connection that is made by its first user.
#[derive(Debug, Default)]
struct Slot {
    connection: OnceCell<Connection>,
    /// Guards when the connection last answered.
    answered_at: Mutex<Option<Instant>>,
    /// Guards when the log was last checked thoroughly over this connection.
    checked_at: Mutex<Option<Instant>>,
    /// Whether a caller went away without its reply.
    is_in_doubt: AtomicBool,
}

impl Link {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            slot: Mutex::default(),
        }
    }

    /// Sends commands and returns their replies, all within the server's timeout. `build` makes the commands; its
    /// argument is whether a thorough check of the log is due.
    pub(crate) async fn send(
        &self,
        build: impl Fn(bool) -> redis::Pipeline + Send + Sync,
    ) -> Result<Vec<Value>, Failure> {
        let call = self.send_on_sound_connection(build);
        let result = self.server.bounded(self.server.timeout, call).await;
        if matches!(result, Err(Failure::TimedOut(_))) {
            let slot = self.slot();
            if slot.is_in_doubt.load(Ordering::Acquire) {
                self.replace(&slot);
            }
        }
        result
    }

    /// Like [`send`](Self::send), for commands that may be repeated: sends once more if the connection turns out to be
    /// broken.
    pub(crate) async fn send_repeatable(
        &self,
        build: impl Fn(bool) -> redis::Pipeline + Send + Sync,
    ) -> Result<Vec<Value>, Failure> {
        match self.send(&build).await {
            Err(Failure::Connection(_)) => self.send(&build).await,
            result => result,
        }
    }

    /// Closes the connection. The next call makes a new one.
    pub(crate) fn close(&self) {
        *lock(&self.slot) = Arc::default();
    }

    async fn send_on_sound_connection(
        &self,
        build: impl Fn(bool) -> redis::Pipeline + Send + Sync,
    ) -> Result<Vec<Value>, Failure> {
        let mut slot = self.slot();
        if slot.needs_probe() {
            let mut probe = Probe {
                link: self,
                slot: &slot,
                is_passed: false,
            };
            probe.is_passed = slot
                .answers_within(PROBE.min(self.server.timeout / 4))
                .await;
            drop(probe);
            slot = self.slot();
        }
        let connect = || self.server.open();
        let connection = slot.connection.get_or_try_init(connect).await?;
        let is_thorough = slot.is_check_due();
        let commands = build(is_thorough);
        let guard = CallGuard { slot: &slot };
        let sent = async {
            let answers = connection.send(&commands).await?;
            if !answers.iter().all(is_noscript) {
                return Ok(answers);
            }
            // No command was run: this server has not seen the scripts, or has forgotten them.
            connection.load_scripts().await?;
            connection.send(&commands).await
        };
        let sent = sent.await;
        match &sent {
            Ok(answers) if !answers.iter().any(ends_connection) => guard.complete(is_thorough),
            _ => {
                drop(guard);
                self.replace(&slot);
            }
        }
        sent
    }

    fn slot(&self) -> Arc<Slot> {
        lock(&self.slot).clone()
    }

    /// Abandons this connection, unless another caller has.
    fn replace(&self, left: &Arc<Slot>) {
        let mut slot = lock(&self.slot);
        if Arc::ptr_eq(&slot, left) {
            *slot = Arc::default();
            self.server.metrics.connections_left.increment(1);
        }
    }
}

impl Slot {
    fn needs_probe(&self) -> bool {
        self.is_in_doubt.load(Ordering::Acquire)
            || lock(&self.answered_at).is_some_and(|at| at.elapsed() >= MAX_IDLE)
    }

    fn is_check_due(&self) -> bool {
        lock(&self.checked_at).is_none_or(|at| at.elapsed() >= CHECK_INTERVAL)
    }

    async fn answers_within(&self, timeout: Duration) -> bool {
        let Some(connection) = self.connection.get() else {
            return true;
        };
        let mut ping = redis::pipe();
        ping.cmd("PING");
        let answer = tokio::time::timeout(timeout, connection.send(&ping)).await;
        let is_alive = matches!(answer, Ok(Ok(_)));
        if is_alive {
            self.is_in_doubt.store(false, Ordering::Release);
        }
        is_alive
    }
}

/// A probe of a connection in doubt. The connection is abandoned unless it answers, also if the caller goes away
/// meanwhile; otherwise callers with a short timeout would never get past it.
struct Probe<'a> {
    link: &'a Link,
    slot: &'a Arc<Slot>,
    is_passed: bool,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.is_passed {
            self.link.replace(self.slot);
        }
    }
}

/// A call under way. Leaves its connection in doubt unless it is completed.
struct CallGuard<'a> {
    slot: &'a Slot,
}

impl CallGuard<'_> {
    fn complete(self, is_checked: bool) {
        let now = Some(Instant::now());
        *lock(&self.slot.answered_at) = now;
        if is_checked {
            *lock(&self.slot.checked_at) = now;
        }
        std::mem::forget(self);
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.slot.is_in_doubt.store(true, Ordering::Release);
    }
}

fn is_noscript(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if ErrorReply::new(error).has_code("NOSCRIPT"))
}

fn ends_connection(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if ErrorReply::new(error).ends_connection())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
