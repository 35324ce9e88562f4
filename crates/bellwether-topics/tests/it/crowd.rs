//! Many readers of quiet topics that come back to a node at once: one lookup at the broker serves many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Delivery, Memory, Offset, ServerSentEvent, Subscription, Topics};

const READERS: usize = 300;

/// A log that counts its calls, and may refuse lookups.
#[derive(Clone, Debug)]
struct Counting {
    log: Memory,
    lookups: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    answers_lookups: bool,
}

impl Counting {
    fn of(log: &Memory, answers_lookups: bool) -> Self {
        Self {
            log: log.clone(),
            lookups: Arc::default(),
            reads: Arc::default(),
            answers_lookups,
        }
    }
}

impl Broker for Counting {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        self.log.append(records)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.log.read(request)
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        assert!(topics.len() <= 128, "{} topics in one call", topics.len());
        match self.answers_lookups {
            true => self.log.newest(topics),
            false => Box::pin(async { Ok(None) }),
        }
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        self.log.tail(from)
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        self.log.bounds()
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        self.log.shutdown()
    }
}

async fn publish(node: &Topics, topic: &str, text: &str) -> String {
    let event = ServerSentEvent::text(text);
    let published = node.topic(topic).unwrap().publish(&event).unwrap();
    published.await.unwrap().to_string()
}

/// The log of a node that is gone: an event in each quiet topic, whose ids are returned, and many in another.
async fn filled(log: &Memory) -> Vec<String> {
    let node = Topics::with(log.clone()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..READERS {
        ids.push(publish(&node, &format!("quiet {number}"), "seen").await);
    }
    for _ in 0..1000 {
        publish(&node, "loud", "other").await;
    }
    ids
}

/// The texts of the next events; a gap fails.
async fn text(reader: &mut Subscription) -> String {
    match reader.next().await.unwrap() {
        Delivery::Event(frame) => String::from_utf8(frame.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn readers_that_have_seen_everything_share_lookups_and_read_nothing() {
    for answers_lookups in [true, false] {
        let log = Memory::new(10_000);
        let ids = filled(&log).await;
        let broker = Counting::of(&log, answers_lookups);
        let node = Topics::with(broker.clone()).await.unwrap();
        let mut readers = Vec::new();
        for (number, id) in ids.iter().enumerate() {
            let topic = node.topic(&format!("quiet {number}")).unwrap();
            let mut reader = topic.subscribe().after(id.as_str()).open().unwrap();
            readers.push(tokio::spawn(async move { text(&mut reader).await }));
        }
        // The time is paused, so it passes only when all of them wait.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let (lookups, reads) = (
            broker.lookups.load(Ordering::Relaxed),
            broker.reads.load(Ordering::Relaxed),
        );
        match answers_lookups {
            true => assert!(
                lookups <= 10 && reads == 0,
                "{lookups} lookups, {reads} reads"
            ),
            // The node stops asking once it has learned that the broker does not answer.
            false => assert!(
                lookups <= 10 && reads == READERS,
                "{lookups} lookups, {reads} reads"
            ),
        }
        for (number, reader) in readers.into_iter().enumerate() {
            assert!(!reader.is_finished());
            let new = format!("new {number}");
            publish(&node, &format!("quiet {number}"), &new).await;
            assert!(reader.await.unwrap().contains(&new));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_missed_something_gets_it_and_one_with_a_foreign_id_gets_a_gap() {
    let log = Memory::new(10_000);
    let ids = filled(&log).await;
    let before = Topics::with(log.clone()).await.unwrap();
    publish(&before, "quiet 0", "missed").await;
    let node = Topics::with(log.clone()).await.unwrap();
    let topic = node.topic("quiet 0").unwrap();
    let mut reader = topic.subscribe().after(ids[0].as_str()).open().unwrap();
    assert!(text(&mut reader).await.contains("missed"));

    // The position of another topic's event, with another tag.
    let topic = node.topic("quiet 1").unwrap();
    let (position, tag) = ids[1].rsplit_once('.').unwrap();
    let other = if tag.starts_with('0') { '1' } else { '0' };
    let id = format!("{position}.{other}{}", &tag[1..]);
    let mut reader = topic.subscribe().after(id.as_str()).open().unwrap();
    let delivery = reader.next().await.unwrap();
    assert!(matches!(delivery, Delivery::Gap(_)), "{delivery:?}");
}
