//! [`RedisBroker`]: the [`Broker`] on a Redis stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::append;
use crate::builder::{RedisBuilder, Settings};
use crate::damage::Damage;
use crate::error::ConnectError;
use crate::failure::Failure;
use crate::keys::{Keys, MAX_NAME_BYTES};
use crate::link::{Link, Server, checked};
use crate::log::{Log, PageOf, client, prepare};
use crate::observe::Metrics;
use crate::reply;
use crate::seen::Seen;
use crate::tail::{RedisTail, bytes_of};

/// The pause between two attempts at a server that still loads its data.
const LOADING_PAUSE: Duration = Duration::from_millis(250);

/// A log in a stream of a Redis or Valkey server. A clone is another handle to the same connections.
///
/// All nodes with the same name on the same server share one log: each gets what the others publish, in one order.
///
/// ```no_run
/// use bellwether_redis::RedisBroker;
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let here = Topics::with(RedisBroker::connect("redis://127.0.0.1:6379").await?).await?;
/// let there = Topics::with(RedisBroker::connect("redis://127.0.0.1:6379").await?).await?;
///
/// let mut reader = there.topic("orders")?.subscribe().open()?;
/// here.topic("orders")?.publish(&ServerSentEvent::text("order 1"))?.await?;
/// let frame = reader.next().await.unwrap().into_frame().unwrap();
/// assert!(frame.bytes().starts_with(b"data: order 1\n"));
/// # Ok(())
/// # }
/// ```
///
/// A broker holds two connections, one for appends and one for reads, and one more for each tail. A connection that
/// broke or was silent is replaced with the next call, so an outage needs no restart: meanwhile calls fail as
/// [unavailable](BrokerError::unavailable) within [`timeout`](RedisBuilder::timeout).
#[derive(Clone)]
pub struct RedisBroker {
    log: Arc<Log>,
    appends: Arc<Link>,
    reads: Arc<Link>,
}

impl RedisBroker {
    /// Opens the log `bellwether` with default settings on the server at this URL:
    /// `redis://[user:password@]host[:port][/database]`, with `rediss://` over TLS, or `unix:///path/of/the/socket`.
    ///
    /// # Errors
    ///
    /// Those of [`RedisBuilder::connect`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use bellwether_redis::RedisBroker;
    ///
    /// // No server listens on this port.
    /// let error = RedisBroker::connect("redis://127.0.0.1:1").await.unwrap_err();
    /// assert!(error.is_unavailable());
    /// # });
    /// ```
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// The settings of a log on the server at this URL, all at their defaults.
    ///
    /// Nothing is checked before [`RedisBuilder::connect`], the URL included.
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
                // The server is reachable and will serve once it has loaded; a running node waits for it as well.
                Err(Failure::ErrorReply(reply)) if reply.is_loading() => {
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
        // This makes the log, and shows whether the user may write.
        let bounds = broker.look().await;
        bounds.map_err(|failure| ConnectError::failed(&server.address, failure))?;
        Ok(broker)
    }

    async fn append_all(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Stored, BrokerError>>, BrokerError> {
        let runs = append::runs(records);
        let pipelines = append::pipelines(records, &runs);
        let mut results = Vec::with_capacity(records.len());
        for pipeline in pipelines {
            let runs = &runs[pipeline];
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
                // The results so far are known; the rest is not sent, so that the order holds.
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

    async fn page(&self, page_of: &PageOf<'_>, is_check: bool) -> Result<Page, Failure> {
        let build = |is_thorough| {
            let mut commands = redis::pipe();
            self.log
                .add_read(&mut commands, page_of, is_thorough || is_check);
            commands
        };
        let mut answers = self.reads.send_repeatable(build).await?;
        let answer = answers.pop().ok_or(Failure::UnexpectedReply("no answer"))?;
        let mut page = reply::page(checked(answer)?)?;
        if let Some([topic, ..]) = page_of.topics {
            let orphans = page.records.iter_mut();
            let orphans = orphans.filter(|record| record.is_damaged && record.topic.is_empty());
            // Its topic is not known, so it may be of the wanted ones.
            orphans.for_each(|record| record.topic = topic.clone());
        }
        self.log.note_page(&page);
        Ok(page)
    }

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
        let answer = answers.pop().ok_or(Failure::UnexpectedReply("no answer"))?;
        reply::newest(checked(answer)?)
    }
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
            // The server has everything that was confirmed; there is nothing here to make safe.
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
