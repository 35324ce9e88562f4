//! [`BrokerAddress`]: where the hub's log lives, as `--broker` names it, and the way to open it.

use std::error::Error;
use std::fmt;

use bellwether::{Retention, Topics};
#[cfg(feature = "nats")]
use bellwether_nats::{NatsBroker, NatsBuilder};
#[cfg(feature = "redis")]
use bellwether_redis::{RedisBroker, RedisBuilder};
#[cfg(feature = "sqlite")]
use bellwether_sqlite::{SqliteBroker, SqliteBuilder};
use bellwether_topics::TopicsBuilder;
use bellwether_topics::broker::Broker;

use crate::exit::{self, Failure, REFUSED, USAGE};

/// What `--broker` takes, for messages and the help.
const FORMS: &str = "memory: | sqlite:FILE | redis://[:PASSWORD@]HOST[:PORT][/DB] | nats://[USER:PASSWORD@]HOST[:PORT]";

/// As large as a body may be, and what the stream adds to it.
const MAX_EVENT_BYTES: usize = 2 * 1024 * 1024;

/// Where the log lives. The addresses may hold passwords, so there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum BrokerAddress {
    /// In this process, with which it ends.
    Memory,
    /// In a file.
    Sqlite(String),
    /// In a Redis server.
    Redis(String),
    /// In a NATS server.
    Nats(String),
}

impl BrokerAddress {
    /// The broker that this text names.
    ///
    /// # Errors
    ///
    /// Another form is wrong usage. The message does not repeat the text.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let broker = match scheme {
            "memory" if rest.is_empty() => Self::Memory,
            "sqlite" if !rest.is_empty() => Self::Sqlite(rest.to_owned()),
            "redis" | "rediss" if has_host(rest) => Self::Redis(text.to_owned()),
            "nats" | "tls" if has_host(rest) => Self::Nats(text.to_owned()),
            _ => {
                let found = match scheme {
                    "memory" | "sqlite" | "redis" | "rediss" | "nats" | "tls" => {
                        format!("`{scheme}:` without what belongs behind it")
                    }
                    _ if text.contains(':') => "another scheme".to_owned(),
                    _ => "no scheme".to_owned(),
                };
                let message = format!("--broker takes {FORMS}; found {found}");
                return Err(Failure::new(USAGE, message));
            }
        };
        Ok(broker)
    }

    /// The topics of this log, of which at most `keep` events are kept.
    ///
    /// # Errors
    ///
    /// The broker does not answer, cannot be used, or is not in this build: the message says why.
    pub(super) async fn open(&self, keep: Option<u64>) -> Result<Topics, Failure> {
        let events = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
        let settings = Topics::builder()
            .max_event_bytes(MAX_EVENT_BYTES)
            .retention(limited(Retention::new(), events, Retention::max_events));
        match self {
            Self::Memory => Ok(settings.build()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => {
                let builder = limited(
                    SqliteBroker::builder(file),
                    keep,
                    SqliteBuilder::max_records,
                );
                self.open_on(builder.open(), settings).await
            }
            #[cfg(feature = "redis")]
            Self::Redis(url) => {
                let builder = limited(RedisBroker::builder(url), keep, RedisBuilder::max_records);
                self.open_on(builder.connect().await, settings).await
            }
            #[cfg(feature = "nats")]
            Self::Nats(url) => {
                let builder = limited(NatsBroker::builder(url), keep, NatsBuilder::max_records);
                self.open_on(builder.connect().await, settings).await
            }
            #[cfg(not(feature = "sqlite"))]
            Self::Sqlite(_) => Err(not_built("sqlite")),
            #[cfg(not(feature = "redis"))]
            Self::Redis(_) => Err(not_built("redis")),
            #[cfg(not(feature = "nats"))]
            Self::Nats(_) => Err(not_built("nats")),
        }
    }

    #[cfg_attr(
        not(any(feature = "sqlite", feature = "redis", feature = "nats")),
        expect(dead_code, reason = "this build has no broker")
    )]
    async fn open_on<E: Error + 'static>(
        &self,
        broker: Result<impl Broker, E>,
        settings: TopicsBuilder,
    ) -> Result<Topics, Failure> {
        let broker = broker.map_err(|error| self.refuse(&error))?;
        let topics = settings.open(broker).await;
        topics.map_err(|error| self.refuse(&error))
    }

    fn refuse(&self, error: &(dyn Error + 'static)) -> Failure {
        let causes = exit::with_causes(error);
        Failure::new(
            REFUSED,
            format_args!("cannot use {self} as the broker: {causes}"),
        )
    }
}

/// The kind of the broker, without the address.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "SQLite",
            Self::Redis(_) => "Redis",
            Self::Nats(_) => "NATS",
        })
    }
}

#[cfg(not(all(feature = "sqlite", feature = "redis", feature = "nats")))]
fn not_built(feature: &str) -> Failure {
    Failure::new(
        USAGE,
        format_args!(
            "this bellwether was built without {feature}: build it with `--features {feature}`"
        ),
    )
}

/// With this limit, if there is one; else the default stays.
fn limited<B, N>(builder: B, limit: Option<N>, set: impl FnOnce(B, N) -> B) -> B {
    match limit {
        Some(limit) => set(builder, limit),
        None => builder,
    }
}

fn has_host(rest: &str) -> bool {
    rest.strip_prefix("//").is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<BrokerAddress> {
        BrokerAddress::parse(text).ok()
    }

    #[test]
    fn each_form_names_its_broker() {
        assert!(parse("memory:") == Some(BrokerAddress::Memory));
        let file = BrokerAddress::Sqlite("/var/lib/a:b.db".to_owned());
        assert!(parse("sqlite:/var/lib/a:b.db") == Some(file));
        let redis = "rediss://:secret@cache:6380/2";
        assert!(parse(redis) == Some(BrokerAddress::Redis(redis.to_owned())));
        let nats = "nats://a.example";
        assert!(parse(nats) == Some(BrokerAddress::Nats(nats.to_owned())));
    }

    #[cfg(all(feature = "sqlite", feature = "redis", feature = "nats"))]
    #[tokio::test]
    async fn a_main_of_the_framework_takes_the_errors_of_every_broker() {
        async fn sqlite() -> bellwether::Result<SqliteBroker> {
            Ok(SqliteBroker::builder("/no/such/folder/log.db").open()?)
        }
        async fn redis() -> bellwether::Result<RedisBroker> {
            Ok(RedisBroker::builder("http://not.redis").connect().await?)
        }
        async fn nats() -> bellwether::Result<NatsBroker> {
            Ok(NatsBroker::builder("http://not.nats").connect().await?)
        }
        let errors = [
            (sqlite().await.err(), "/no/such/folder/log.db"),
            (redis().await.err(), "redis"),
            (nats().await.err(), "nats"),
        ];
        for (error, found) in errors {
            let error = error.expect("there is no such broker");
            assert!(error.is_setup(), "{error:?}");
            // What `main` prints.
            let text = format!("{error:?}");
            assert!(text.to_lowercase().contains(found), "{text}");
        }
    }

    #[test]
    fn other_forms_are_wrong_usage_and_are_not_repeated() {
        for text in [
            "",
            "memory",
            "memory:x",
            "sqlite:",
            "redis:",
            "nats://",
            "kafka://:secret@a",
            ":secret",
        ] {
            let Err(failure) = BrokerAddress::parse(text) else {
                panic!("{text:?} was taken");
            };
            let message = format!("{failure:?}");
            assert!(
                message.contains("code: 2") && message.contains("sqlite:FILE"),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
