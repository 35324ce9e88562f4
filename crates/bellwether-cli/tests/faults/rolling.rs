//! A rolling restart: each node in turn drains and starts again, and its readers go over to the other.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::Publishers;
use crate::reader::Readers;
use crate::scene::{READERS, settle};

async fn restart_each_node(daemon: Daemon) {
    let mut cluster = Cluster::start(2, &daemon.url(), &[]).await;
    let addresses = cluster.addresses();
    let readers = Readers::start(&addresses, READERS).await;
    let pace = Duration::from_millis(40);
    let publishers = Publishers::start(addresses.clone(), "p", 2, pace);
    let mut drains = Vec::new();
    for node in [0, 1] {
        publishers.wait_for_more(50).await;
        drains.push(cluster.terminate(node).await);
        publishers.wait_for_more(50).await;
        cluster.start_node(node).await;
    }
    publishers.wait_for_more(50).await;
    let settled = settle(&cluster, 2, publishers, readers).await;
    let report = &settled.report;
    let name = daemon.name();
    println!("{name}, rolling restart: {report}; the nodes ended after {drains:.2?}");
    settled.assert_exact();
    assert!(settled.opened >= 2, "no reader went over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_on_redis_loses_and_doubles_nothing() {
    if let Some(daemon) = Daemon::redis().await {
        restart_each_node(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_on_nats_loses_and_doubles_nothing() {
    if let Some(daemon) = Daemon::nats().await {
        restart_each_node(daemon).await;
    }
}
