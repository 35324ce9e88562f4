//! A node stands still for a while and then goes on: its readers wait, and then get everything.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::Publishers;
use crate::reader::Readers;
use crate::scene::{READERS, settle};

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
    let settled = settle(&cluster, 2, publishers, readers).await;
    let report = &settled.report;
    let name = daemon.name();
    println!(
        "{name}, a node stood still for {STANDSTILL:?}: {report}; its readers caught up after {caught_up:.2?}"
    );
    settled.assert_exact();
    assert_eq!(settled.opened, 1, "a stream was closed");
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
