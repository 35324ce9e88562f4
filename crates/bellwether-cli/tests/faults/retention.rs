//! Retention overtakes a reader that is too slow: it gets a gap, and then everything is exact.

use std::time::Duration;

use crate::check::{Log, Report};
use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::journal::Item;
use crate::publisher::{Publishers, publish_last};
use crate::reader::Readers;
use crate::scene::Folder;

const SLOW_READERS: usize = 10;

/// What broker and nodes keep, and what is published while the slow readers take nothing.
const KEEP: &str = "400";
const EVENTS: usize = 3000;

/// More bytes than sockets hold on their way.
const EVENT_BYTES: usize = 4096;

async fn overtake(name: &str, broker: &str) {
    let cluster = Cluster::start(1, broker, &["--keep", KEEP]).await;
    let addresses = cluster.addresses();
    // Some stay connected and take nothing, some are away.
    let stuck = Readers::start(&addresses, SLOW_READERS).await;
    let mut away = Readers::start(&addresses, SLOW_READERS).await;
    let start = |round, count| {
        Publishers::start_with(addresses.clone(), round, count, Duration::ZERO, EVENT_BYTES)
    };
    let first = start("first", 1);
    first.wait_for_more(20).await;
    let (mut acknowledged, _) = first.finish().await;
    stuck.wait_for(acknowledged.len()).await;
    away.wait_for(acknowledged.len()).await;
    stuck.read_on(false);
    away.leave().await;

    let publishers = start("more", 8);
    publishers.wait_for_more(EVENTS).await;
    acknowledged.extend(publishers.finish().await.0);
    acknowledged.push(publish_last(&addresses).await);
    stuck.read_on(true);
    away.come_back(&addresses);

    // Everything was acknowledged, so this is the whole log, of which the node has only the end.
    acknowledged.sort_by_key(|event| crate::journal::place(&event.id).offset);
    let items: Vec<Item> = acknowledged.iter().map(|event| event.as_item()).collect();
    let log = Log::of(&items);
    let mut report = Report::default();
    report.check_log(&log, &acknowledged);
    let runs = [stuck.finish().await, away.finish().await].concat();
    for run in &runs {
        report.check_reader(run, &log);
    }
    println!("{name}, keeps {KEEP} of {} events: {report}", log.len());
    assert!(report.is_exact(), "{report}");
    for (reader, run) in runs.iter().enumerate() {
        let gaps: Vec<&str> = run
            .iter()
            .filter_map(|item| match item {
                Item::Gap { reason, .. } => Some(reason.as_str()),
                Item::Event { .. } => None,
            })
            .collect();
        assert!(gaps.iter().all(|&reason| reason == "trimmed"), "{gaps:?}");
        // A stuck reader's socket may take a little more now and then, and the reader be overtaken again.
        let is_stuck = reader < SLOW_READERS;
        assert!(gaps.len() == 1 || is_stuck && gaps.len() > 1, "{gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_overtaken_by_the_retention_of_sqlite_gets_a_gap() {
    let folder = Folder::new("retention");
    overtake("SQLite", &format!("sqlite:{}", folder.file("log.db"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_overtaken_by_the_retention_of_redis_gets_a_gap() {
    if let Some(daemon) = Daemon::redis().await {
        overtake("Redis", &daemon.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_overtaken_by_the_retention_of_nats_gets_a_gap() {
    if let Some(daemon) = Daemon::nats().await {
        overtake("NATS", &daemon.url()).await;
    }
}
