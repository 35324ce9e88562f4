//! Nodes are killed over and over in the middle of publishing: one on SQLite, two on Redis and NATS.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::Publishers;
use crate::reader::Readers;
use crate::scene::{Folder, READERS, settle};

const KILLS_ON_SQLITE: usize = 20;
const KILLS_ON_SERVERS: usize = 8;

/// From the start of the process.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Enough of them, and fast enough, for some publishes to be under way at most kills.
const PUBLISHERS: usize = 8;
const PACE: Duration = Duration::from_millis(10);

async fn kill_nodes(name: &str, mut cluster: Cluster, nodes: usize, kills: usize) {
    let addresses = cluster.addresses();
    let readers = Readers::start(&addresses, READERS).await;
    let publishers = Publishers::start(addresses.clone(), "p", PUBLISHERS, PACE);
    let mut ready = Vec::new();
    let since = Instant::now();
    for kill in 0..kills {
        publishers.wait_for_more(50).await;
        cluster.kill(kill % nodes).await;
        ready.push(cluster.start_node(kill % nodes).await);
    }
    let took = since.elapsed();
    publishers.wait_for_more(50).await;
    let settled = settle(&cluster, 1, publishers, readers).await;
    let (report, failures) = (&settled.report, &settled.failures);
    ready.sort();
    let (median, slowest) = (ready[kills / 2], ready[kills - 1]);
    println!(
        "{name}, {kills} kills in {took:.1?}: {report}; ready again after {median:.2?} (median), {slowest:.2?} \
         (slowest); {} publishes sent again",
        failures.unanswered
    );
    settled.assert_exact();
    assert!(
        failures.unanswered > 0,
        "no publish was under way at a kill"
    );
    assert!(slowest <= READY_WITHIN, "ready again after {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_or_delivered_survives_twenty_kills_on_sqlite() {
    let folder = Folder::new("kills");
    let broker = format!("sqlite:{}", folder.file("log.db"));
    let cluster = Cluster::start(1, &broker, &[]).await;
    kill_nodes("SQLite", cluster, 1, KILLS_ON_SQLITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_or_delivered_survives_killed_nodes_on_redis() {
    if let Some(daemon) = Daemon::redis().await {
        let cluster = Cluster::start(2, &daemon.url(), &[]).await;
        kill_nodes("Redis", cluster, 2, KILLS_ON_SERVERS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_or_delivered_survives_killed_nodes_on_nats() {
    if let Some(daemon) = Daemon::nats().await {
        let cluster = Cluster::start(2, &daemon.url(), &[]).await;
        kill_nodes("NATS", cluster, 2, KILLS_ON_SERVERS).await;
    }
}
