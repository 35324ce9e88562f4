//! A node stands still for a while and then goes on: its readers wait, and then get everything.

use std::time::{Duration, Instant};

use crate::check::{Log, Report};
use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::{Publishers, publish_last};
use crate::reader::{Readers, read_back};
use crate::scene::READERS;

/// Longer than the time after which a broker counts as silent to a node, and a node's calls have failed.
const STANDSTILL: Duration = Duration::from_secs(8);

async fn freeze_a_node(daemon: Daemon) {
    let cluster = Cluster::start(2, &daemon.url(), &[]).await;
    let addresses = cluster.addresses();
    let readers = Readers::start(&addresses, READERS).await;
    let pace = Duration::from_millis(20);
    let publishers = Publishers::start(addresses.clone(), "p", 4, pace);
    publishers.wait_for_more(100).await;
    cluster.freeze(1).await;
    tokio::time::sleep(STANDSTILL).await;
    let meanwhile = publishers.count();
    cluster.thaw(1).await;
    let since = Instant::now();
    readers.wait_for(meanwhile).await;
    let caught_up = since.elapsed();
    publishers.wait_for_more(100).await;
    let (mut acknowledged, _) = publishers.finish().await;
    acknowledged.push(publish_last(&addresses).await);
    let opened = readers.most_opened();
    let runs = readers.finish().await;
    let log = Log::of(&read_back(&cluster.address(1)).await);
    let mut report = Report::default();
    report.check_log(&log, &acknowledged);
    for run in &runs {
        report.check_reader(run, &log);
    }
    let name = daemon.name();
    println!(
        "{name}, a node stood still for {STANDSTILL:?}: {report}; its readers caught up after {caught_up:.2?}"
    );
    assert!(report.is_exact(), "{report}");
    assert_eq!((report.gaps, log.len()), (0, acknowledged.len()));
    assert_eq!(opened, 1, "a stream was closed");
    assert!(caught_up <= Duration::from_secs(5), "after {caught_up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_node_that_stands_still_catch_up_on_redis() {
    if let Some(daemon) = Daemon::redis().await {
        freeze_a_node(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_node_that_stands_still_catch_up_on_nats() {
    if let Some(daemon) = Daemon::nats().await {
        freeze_a_node(daemon).await;
    }
}
