//! [`RedisBroker`]: the [`Broker`] on a Redis stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use redis::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::append;
use crate::builder::{RedisBuilder, Settings};
use crate::check::Info;
use crate::damage::Damage;
use crate::error::{ConnectError, Failure};
use crate::keys::{Keys, MAX_NAME_BYTES};
use crate::link::{Link, Server, checked};
use crate::observe::Metrics;
use crate::reply;
use crate::scripts::{Digests, Look};
use crate::seen::Seen;
use crate::tail::{RedisTail, bytes_of};

/// How often a server that still loads its data is asked again.
const LOADING_PAUSE: Duration = Duration::from_millis(250);

/// A log in a stream of a Redis or Valkey server. A clone is another handle to the same connections.
///
/// It holds two connections, one for appends and one for reads, and one more for each tail; each is made anew after it
/// broke or was silent, with the next call.
#[derive(Clone)]
pub struct RedisBroker {
    log: Arc<Log>,
    appends: Arc<Link>,
    reads: Arc<Link>,
}

/// The log, as every part of the broker sees it.
pub(crate) struct Log {
    pub(crate) server: Arc<Server>,
    pub(crate) keys: Keys,
    settings: Settings,
    digests: Digests,
    pub(crate) seen: Seen,
}

/// What the script that reads is asked for.
#[derive(Default)]
pub(crate) struct PageOf<'a> {
    pub(crate) from: Offset,
    pub(crate) topics: Option<&'a [Arc<str>]>,
    /// Beside the record at `from`; zero for nothing but the ends and the tag of that record.
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

impl RedisBroker {
    /// Opens the log `bellwether` with default settings on the server at this URL:
    /// `redis://[user:password@]host[:port][/database]`, with `rediss://` over TLS, or `unix:///path/of/the/socket`.
    ///
    /// # Errors
    ///
    /// Those of [`RedisBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// The settings of a log on the server at this URL.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use bellwether_redis::RedisBroker;
    ///
    /// # async fn example() -> Result<(), bellwether_redis::ConnectError> {
    /// let broker = RedisBroker::builder("redis://localhost")
    ///     .name("orders")
    ///     .max_records(1_000_000)
    ///     .max_age(Duration::from_secs(24 * 3600))
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url)
    }

    pub(crate) async fn open(url: &str, settings: Settings) -> Result<Self, ConnectError> {
        let keys = Keys::new(&settings.name).ok_or_else(|| {
            ConnectError::settings(format!(
                "the name of a log has 1 to {MAX_NAME_BYTES} bytes without braces, spaces and control characters, \
                 found {:?}",
                settings.name
            ))
        })?;
        let client = client(url)?;
        let info = client.get_connection_info();
        let server = Arc::new(Server {
            address: format!("{}/{}", info.addr(), info.redis_settings().db()),
            timeout: settings.timeout,
            metrics: Metrics::new(),
            is_shut: watch::Sender::new(false),
            damage: Damage::default(),
            client,
        });
        let digests = loop {
            let preparing = prepare(&server, &settings);
            match server.bounded(server.timeout, preparing).await {
                Ok(digests) => break digests?,
                // It is there, and says itself that it will serve; a running node waits for it as well.
                Err(Failure::Told(told)) if told.is_loading() => {
                    tokio::time::sleep(LOADING_PAUSE).await;
                }
                Err(failure) => return Err(ConnectError::failed(&server.address, failure)),
            }
        };
        let broker = Self {
            log: Arc::new(Log {
                server: server.clone(),
                keys,
                settings,
                digests,
                seen: Seen::default(),
            }),
            appends: Arc::new(Link::new(server.clone())),
            reads: Arc::new(Link::new(server.clone())),
        };
        // Makes the log, and shows whether the user may.
        let bounds = broker.look().await;
        bounds.map_err(|failure| ConnectError::failed(&server.address, failure))?;
        Ok(broker)
    }

    async fn append_all(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Stored, BrokerError>>, BrokerError> {
        let runs = append::runs(records);
        let shipments = append::shipments(records, &runs);
        let mut results = Vec::with_capacity(records.len());
        for shipment in shipments {
            let runs = &runs[shipment];
            let build = |is_thorough| {
                let mut commands = redis::pipe();
                for run in runs {
                    self.log
                        .add_run(&mut commands, &records[run.clone()], is_thorough);
                }
                commands
            };
            match self.appends.send(build).await {
                Ok(answers) => {
                    for (run, answer) in runs.iter().zip(answers) {
                        let stored = append::answers(answer, &records[run.clone()]);
                        if let Some(Ok(newest)) = stored.iter().rev().find(|stored| stored.is_ok())
                        {
                            self.log
                                .seen
                                .advance(newest.cursor.epoch, newest.cursor.offset);
                        }
                        results.extend(stored);
                    }
                }
                // What was sent before is known; the rest is not sent, so that the order holds.
                Err(failure) if !results.is_empty() => {
                    let rest = records.len() - results.len();
                    results.extend((0..rest).map(|_| Err(BrokerError::from(&failure))));
                    break;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(results)
    }

    async fn look(&self) -> Result<Page, Failure> {
        self.page(&PageOf::default(), true).await
    }

    async fn page(&self, page_of: &PageOf<'_>, is_look: bool) -> Result<Page, Failure> {
        let build = |is_thorough| {
            let mut commands = redis::pipe();
            self.log
                .add_read(&mut commands, page_of, is_thorough || is_look);
            commands
        };
        let mut answers = self.reads.send_repeatable(build).await?;
        let answer = answers.pop().ok_or(Failure::Odd("no answer"))?;
        let mut page = reply::page(checked(answer)?)?;
        if let Some([topic, ..]) = page_of.topics {
            let orphans = page.records.iter_mut();
            let orphans = orphans.filter(|record| record.is_damaged && record.topic.is_empty());
            // Nothing tells whose it was, so it may have been anybody's.
            orphans.for_each(|record| record.topic = topic.clone());
        }
        self.log.seen.advance(page.epoch, page.head);
        self.log.server.damage.tell(&self.log, &page.records);
        Ok(page)
    }
}

impl RedisBroker {
    async fn newest_of(&self, topics: &[Arc<str>]) -> Result<Newest, Failure> {
        let build = |is_thorough| {
            let mut commands = redis::pipe();
            let digest = &self.log.digests.newest;
            let command = self.log.add_script(&mut commands, digest, is_thorough);
            for topic in topics {
                command.arg(&**topic);
            }
            commands
        };
        let mut answers = self.reads.send_repeatable(build).await?;
        let answer = answers.pop().ok_or(Failure::Odd("no answer"))?;
        reply::newest(checked(answer)?)
    }
}

impl Log {
    fn add_run(&self, commands: &mut redis::Pipeline, run: &[NewRecord], is_thorough: bool) {
        let Self {
            keys,
            settings,
            digests,
            ..
        } = self;
        let look = self.due_look(is_thorough);
        append::add_run(commands, run, keys, settings, digests, &look);
    }

    /// Adds the call of a script, with what each of them takes first.
    fn add_script<'a>(
        &self,
        commands: &'a mut redis::Pipeline,
        digest: &str,
        is_thorough: bool,
    ) -> &'a mut redis::Pipeline {
        let keys = &self.keys;
        let command = commands.cmd("EVALSHA").arg(digest).arg(3);
        command.arg(&keys.log).arg(&keys.about).arg(&keys.topics);
        command.arg(self.due_look(is_thorough))
    }

    fn due_look(&self, is_thorough: bool) -> Look {
        Look {
            is_thorough,
            seen: self.seen.argument(),
        }
    }

    /// Adds the call that reads a page.
    pub(crate) fn add_read(
        &self,
        commands: &mut redis::Pipeline,
        page_of: &PageOf<'_>,
        is_thorough: bool,
    ) {
        let command = self.add_script(commands, &self.digests.read, is_thorough);
        command
            .arg(reply::id(page_of.from))
            .arg(page_of.max_records)
            .arg(page_of.max_bytes);
        for topic in page_of.topics.into_iter().flatten() {
            command.arg(&**topic);
        }
    }
}

fn client(url: &str) -> Result<redis::Client, ConnectError> {
    let is_tls = url.starts_with("rediss:") || url.starts_with("valkeys:");
    if is_tls && !cfg!(feature = "tls") {
        return Err(ConnectError::settings(
            "an address with TLS needs the feature `tls` of bellwether-redis",
        ));
    }
    if redis::parse_redis_url(url).is_none() {
        // The URL itself may hold a password.
        return Err(ConnectError::settings(
            "the address is no URL of a Redis server: expected \
             redis://[user:password@]host[:port][/database], rediss:// with TLS, or unix:///path",
        ));
    }
    redis::Client::open(url).map_err(|error| {
        ConnectError::settings("the URL of the Redis server has a part that is wrong")
            .with_source(Failure::from(error))
    })
}

/// Connects once, looks at the server and hands the scripts over.
async fn prepare(
    server: &Server,
    settings: &Settings,
) -> Result<Result<Digests, ConnectError>, Failure> {
    let connection = server.open().await?;
    let mut commands = redis::pipe();
    commands.cmd("INFO");
    let answer = connection.send(&commands).await?.pop();
    let info = match answer.map(checked) {
        Some(Ok(Value::BulkString(text))) => Info::parse(&String::from_utf8_lossy(&text)),
        Some(Ok(Value::VerbatimString { text, .. })) => Info::parse(&text),
        // A user may not be allowed to ask.
        Some(Err(Failure::Told(told))) if told.has_code("NOPERM") => Info::default(),
        Some(Err(failure)) => return Err(failure),
        _ => Info::default(),
    };
    if let Err(error) = info.check(&server.address, settings.allows_eviction) {
        return Ok(Err(error));
    }
    Ok(Ok(connection.load_scripts().await?))
}

impl Broker for RedisBroker {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        Box::pin(async move {
            let began_at = Instant::now();
            let results = self.append_all(records).await;
            let metrics = &self.log.server.metrics;
            metrics
                .append_seconds
                .record(began_at.elapsed().as_secs_f64());
            metrics.append_records.record(records.len() as f64);
            let bytes: usize = records.iter().map(|record| record.event.len()).sum();
            metrics.append_bytes.increment(bytes as u64);
            let failed = match &results {
                Ok(results) => results.iter().filter(|result| result.is_err()).count(),
                Err(_) => records.len(),
            };
            metrics.append_failed.increment(failed as u64);
            results
        })
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(async move {
            let page_of = PageOf {
                from: request.from,
                topics: request.topics,
                max_records: request.max_records.saturating_sub(1).max(1),
                max_bytes: request.max_bytes,
            };
            let page = self.page(&page_of, false).await?;
            let metrics = &self.log.server.metrics;
            metrics.reads.increment(1);
            metrics.read_bytes.increment(bytes_of(&page));
            Ok(page)
        })
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(async move { Ok(Some(self.newest_of(topics).await?)) })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            let server = &self.log.server;
            let opening = RedisTail::open(self.log.clone(), from);
            let tail: Box<dyn Tail> = Box::new(server.bounded(server.timeout, opening).await?);
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(async move {
            let Page {
                epoch, floor, head, ..
            } = self.look().await?;
            Ok(Bounds { epoch, floor, head })
        })
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        Box::pin(async move {
            // Whatever was confirmed is at the server; there is nothing here to make safe.
            self.log.server.is_shut.send_replace(true);
            self.appends.close();
            self.reads.close();
            Ok(())
        })
    }
}

/// Shows where the log is, without name and password.
impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker")
            .field("server", &self.log.server.address)
            .field("log", &self.log.settings.name)
            .finish_non_exhaustive()
    }
}
