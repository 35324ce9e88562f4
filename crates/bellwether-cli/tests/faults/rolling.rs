//! A rolling restart: each node in turn drains and starts anew, and its readers go over to the other.

use std::time::Duration;

use crate::check::{Log, Report};
use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::{Publishers, publish_last};
use crate::reader::{Readers, read_back};
use crate::scene::READERS;

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
    let (mut acknowledged, _) = publishers.finish().await;
    acknowledged.push(publish_last(&addresses).await);
    let opened = readers.most_opened();
    let runs = readers.finish().await;
    let log = Log::of(&read_back(&cluster.address(0)).await);
    let mut report = Report::default();
    report.check_log(&log, &acknowledged);
    for run in &runs {
        report.check_reader(run, &log);
    }
    let name = daemon.name();
    println!("{name}, rolling restart: {report}; the nodes ended after {drains:.2?}");
    assert!(report.is_exact(), "{report}");
    assert_eq!((report.gaps, log.len()), (0, acknowledged.len()));
    assert!(opened >= 2, "no reader went over");
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
