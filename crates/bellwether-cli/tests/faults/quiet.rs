//! Readers of quiet topics beside a loud one, half of them without any id, while nodes are killed and the loud topic pushes
//! out what the quiet ones have: each gets the one event that comes, and no gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwether_testkit::within;
use tokio::task::JoinSet;

use crate::cluster::{Addresses, Cluster};
use crate::daemon::Daemon;
use crate::http::{self, EventStream};
use crate::journal::{Block, Item, data};
use crate::publisher::Publishers;
use crate::scene::Folder;

const TOPICS: usize = 40;
const SLOW: Duration = Duration::from_secs(60);

/// Publishes one event until it is acknowledged; its id.
async fn publish(addresses: &Addresses, topic: usize, text: &str) -> String {
    let head = format!(
        "POST /publish?topic=quiet-{topic} HTTP/1.1\r\nIdempotency-Key: {topic}-{text}\r\n"
    );
    loop {
        if let Some(address) = addresses.any_from(topic)
            && let Ok(answer) = http::request(&address, &head, text, SLOW).await
            && answer.status == 200
        {
            return answer.body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads a topic, over as many streams as it takes, until an event comes; everything that came.
async fn read(
    addresses: Addresses,
    topic: usize,
    mut last_id: String,
    opened: Arc<AtomicUsize>,
) -> Vec<Item> {
    let path = format!("/events?topic=quiet-{topic}");
    let mut items = Vec::new();
    // A node may learn of the first event just after the reader came: then that is a new one, once.
    let mut may_get_first = last_id.is_empty();
    loop {
        if let Some(address) = addresses.any_from(topic)
            && let Ok(mut stream) = EventStream::open(&address, &path, &last_id).await
        {
            // The head of an answer says that a stream is open; without an id, only its opening event says from where.
            let mut is_counted = !last_id.is_empty();
            opened.fetch_add(usize::from(is_counted), Ordering::AcqRel);
            while let Ok(Some(block)) = stream.block().await {
                match Block::parse(&block) {
                    Block::Opening(id) => last_id = id,
                    Block::Item(Item::Event { id, bytes })
                        if may_get_first && data(&bytes) == "first" =>
                    {
                        may_get_first = false;
                        last_id = id;
                    }
                    Block::Item(item) => {
                        let is_event = matches!(item, Item::Event { .. });
                        if let Item::Gap { after, .. } = &item {
                            after.clone_into(&mut last_id);
                        }
                        items.push(item);
                        if is_event {
                            return items;
                        }
                    }
                    Block::KeepAlive | Block::Retry => {}
                }
                if !is_counted && !last_id.is_empty() {
                    is_counted = true;
                    opened.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20 + fastrand::u64(..100))).await;
    }
}

async fn stay_quiet(name: &str, mut cluster: Cluster, nodes: usize, kills: usize) {
    let addresses = cluster.addresses();
    let mut readers = JoinSet::new();
    let mut streams = Vec::new();
    for topic in 0..TOPICS {
        let id = publish(&addresses, topic, "first").await;
        for last_id in [id, String::new()] {
            let opened = Arc::new(AtomicUsize::new(0));
            streams.push(opened.clone());
            let reader = read(addresses.clone(), topic, last_id, opened);
            readers.spawn(async move { (topic, reader.await) });
        }
    }
    let wait = |least: usize| {
        let streams = &streams;
        // Of the readers, the even ones came with an id.
        let fewer = move || -> Vec<(usize, usize)> {
            let opened = streams.iter().map(|opened| opened.load(Ordering::Acquire));
            let fewer = opened.enumerate().filter(|(_, opened)| *opened < least);
            fewer.collect()
        };
        async move {
            let all = async {
                while !fewer().is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let all = within(SLOW, all).await;
            all.unwrap_or_else(|| panic!("of {least} streams, (reader, opened): {:?}", fewer()));
        }
    };
    wait(1).await;
    let loud = Publishers::start(addresses.clone(), "p", 8, Duration::ZERO);
    for kill in 0..kills {
        loud.wait_for_more(600).await;
        cluster.kill(kill % nodes).await;
        cluster.start_node(kill % nodes).await;
    }
    loud.wait_for_more(600).await;
    let (published, _) = loud.finish().await;
    wait(1 + kills / nodes).await;
    let mut second = Vec::new();
    for topic in 0..TOPICS {
        second.push(publish(&addresses, topic, "second").await);
    }
    let (mut exact, mut wrong) = (0, Vec::new());
    while let Some(read) = within(SLOW, readers.join_next())
        .await
        .expect("every reader gets its event")
    {
        let (topic, items) = read.unwrap();
        match &items[..] {
            [Item::Event { id, bytes }] if *id == second[topic] && data(bytes) == "second" => {
                exact += 1;
            }
            _ => wrong.push((topic, items)),
        }
    }
    println!(
        "{name}, {kills} kills, {} loud events: {exact} of {} readers of quiet topics got exactly their event",
        published.len(),
        2 * TOPICS
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(exact, 2 * TOPICS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_topics_are_told_no_gap_on_sqlite() {
    let folder = Folder::new("quiet");
    let broker = format!("sqlite:{}", folder.file("log.db"));
    let cluster = Cluster::start(1, &broker, &["--keep", "400"]).await;
    stay_quiet("SQLite, keeps 400", cluster, 1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_topics_are_told_no_gap_on_redis() {
    if let Some(daemon) = Daemon::redis().await {
        let cluster = Cluster::start(2, &daemon.url(), &["--keep", "400"]).await;
        stay_quiet("Redis, keeps 400", cluster, 2, 4).await;
    }
}

/// NATS removes without a word of whose it was, so that a gap would be honest once the log is trimmed: it is not here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_topics_are_told_no_gap_on_nats_while_nothing_is_trimmed() {
    if let Some(daemon) = Daemon::nats().await {
        let cluster = Cluster::start(2, &daemon.url(), &[]).await;
        stay_quiet("NATS", cluster, 2, 4).await;
    }
}
