//! What the tests share: a server, a node on it with readers, and commands by hand.

use std::sync::Arc;
use std::time::Duration;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::broker::{Broker, NewRecord, Page, ReadRequest, Stored};
use bellwether_topics::{
    Delivery, Gap, Offset, PublishOptions, ServerSentEvent, Subscription, Topics,
};
use bytes::Bytes;

/// The server's commands, as `redis-cli` sends them.
pub(crate) struct CommandLine(redis::aio::MultiplexedConnection);

impl CommandLine {
    pub(crate) async fn new(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        Self(client.get_multiplexed_async_connection().await.unwrap())
    }

    pub(crate) async fn run(&mut self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        let answer = command.query_async(&mut self.0).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn text(&mut self, words: &[&str]) -> String {
        redis::from_redis_value(self.run(words).await).unwrap()
    }
}

/// Runs one command on the server.
pub(crate) async fn run_command(server: &RedisServer, words: &[&str]) -> redis::Value {
    CommandLine::new(server).await.run(words).await
}

/// Closes all connections but its own, from the server's side.
pub(crate) async fn close_connections(server: &RedisServer) {
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    run_command(server, &kill).await;
}

/// Lets real time pass: for the moment of a fault, and for what the server's clock decides.
pub(crate) async fn sleep(time: Duration) {
    within(time, std::future::pending::<()>()).await;
}

/// A broker with default settings.
pub(crate) async fn connect(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(server.url()).await.unwrap()
}

pub(crate) fn record(number: u32) -> NewRecord {
    NewRecord {
        topic: Arc::from("t"),
        tag: number.wrapping_mul(0x9e37_79b9),
        event: Bytes::from(format!("data: {number}\n\n")),
        idempotency_key: None,
        conflation_key: None,
    }
}

pub(crate) async fn append(broker: &RedisBroker, records: &[NewRecord]) -> Vec<Stored> {
    let results = broker.append(records).await.unwrap();
    results.into_iter().map(Result::unwrap).collect()
}

/// A page of all topics of up to 10,000 records.
pub(crate) async fn read(broker: &RedisBroker, from: Offset) -> Page {
    let request = ReadRequest {
        from,
        topics: None,
        max_records: 10_000,
        max_bytes: 1 << 20,
    };
    broker.read(request).await.unwrap()
}

/// A node with one reader, which has read everything that the node has published.
pub(crate) struct Node {
    pub(crate) topics: Topics,
    pub(crate) reader: Subscription,
    published: u64,
}

impl Node {
    /// A node on a server of its own, if one can be started.
    pub(crate) async fn start() -> Option<(RedisServer, Self)> {
        let server = or_skip(RedisServer::start(&[]).await)?;
        let node = Self::open(connect(&server).await).await;
        Some((server, node))
    }

    pub(crate) async fn open(broker: RedisBroker) -> Self {
        let topics = Topics::with(broker).await.unwrap();
        let reader = topics.topic("t").unwrap().subscribe().open().unwrap();
        Self {
            topics,
            reader,
            published: 0,
        }
    }

    /// Publishes this number of further numbers, each until it succeeds, and returns their ids.
    pub(crate) async fn publish(&mut self, count: u64) -> Vec<String> {
        let topic = self.topics.topic("t").unwrap();
        let mut ids = Vec::new();
        for _ in 0..count {
            self.published += 1;
            let number = self.published.to_string();
            let options = PublishOptions::new().idempotency_key(&number);
            let event = ServerSentEvent::text(number.clone());
            let publishing = async {
                loop {
                    match topic.publish_with(options, &event).unwrap().await {
                        Ok(cursor) => return cursor,
                        Err(error) => assert!(error.is_unavailable(), "{error}"),
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let cursor = within(3 * TEST_TIMEOUT, publishing).await;
            ids.push(cursor.expect("it can be published in the end").to_string());
        }
        ids
    }

    /// The last number that was published.
    pub(crate) fn published_so_far(&self) -> u64 {
        self.published
    }

    /// The next numbers that the reader gets.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u64> {
        take(&mut self.reader, count).await
    }

    /// The reader's next delivery, which is a gap.
    pub(crate) async fn gap(&mut self) -> Gap {
        gap(&mut self.reader).await
    }

    /// Another reader, after this id.
    pub(crate) fn resume(&self, after: &str) -> Subscription {
        let topic = self.topics.topic("t").unwrap();
        topic.subscribe().after(after).open().unwrap()
    }
}

pub(crate) async fn take(reader: &mut Subscription, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let delivery = next(reader).await;
        numbers.push(number(&delivery).unwrap_or_else(|| panic!("no event but {delivery:?}")));
    }
    numbers
}

pub(crate) async fn gap(reader: &mut Subscription) -> Gap {
    match next(reader).await {
        Delivery::Gap(gap) => gap,
        other => panic!("no gap but {other:?}"),
    }
}

async fn next(reader: &mut Subscription) -> Delivery {
    let next = within(3 * TEST_TIMEOUT, reader.next()).await;
    next.expect("the reader gets something")
        .expect("the stream is open")
}

/// The number of an event; `None` for a gap.
pub(crate) fn number(delivery: &Delivery) -> Option<u64> {
    let text = String::from_utf8(delivery.frame()?.bytes().to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    Some(data.unwrap().parse().unwrap())
}

/// What comes up to the last expected number, without what is left from before the loss.
pub(crate) async fn ending(reader: &mut Subscription, expected: &[u64]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != expected.last() {
        let number = take(reader, 1).await[0];
        if number >= expected[0] {
            numbers.push(number);
        }
    }
    numbers
}
