//! SQLite: the node is killed over and over in the middle of publishing.

use std::time::{Duration, Instant};

use crate::check::{Log, Report};
use crate::cluster::Cluster;
use crate::publisher::{Publishers, publish_last};
use crate::reader::{Readers, read_back};
use crate::scene::{Folder, READERS};

const KILLS: usize = 20;

/// From the start of the process.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_or_delivered_survives_twenty_kills() {
    let folder = Folder::new("kills");
    let broker = format!("sqlite:{}", folder.file("log.db"));
    let mut cluster = Cluster::start(1, &broker, &[]).await;
    let addresses = cluster.addresses();
    let readers = Readers::start(&addresses, READERS).await;
    let pace = Duration::from_millis(40);
    let publishers = Publishers::start(addresses.clone(), "p", 4, pace);
    let mut ready = Vec::new();
    let since = Instant::now();
    for _ in 0..KILLS {
        publishers.wait_for_more(25).await;
        cluster.kill(0).await;
        ready.push(cluster.start_node(0).await);
    }
    let took = since.elapsed();
    publishers.wait_for_more(25).await;
    let (mut acknowledged, failures) = publishers.finish().await;
    acknowledged.push(publish_last(&addresses).await);

    let runs = readers.finish().await;
    let log = Log::of(&read_back(&cluster.address(0)).await);
    let mut report = Report::default();
    report.check_log(&log, &acknowledged);
    for run in &runs {
        report.check_reader(run, &log);
    }
    ready.sort();
    let (median, slowest) = (ready[KILLS / 2], ready[KILLS - 1]);
    println!(
        "SQLite, {KILLS} kills in {took:.1?}: {report}; ready again after {median:.2?} (median), {slowest:.2?} (slowest); {} publishes tried again",
        failures.unanswered
    );
    assert!(report.is_exact(), "{report}");
    assert_eq!((report.gaps, log.len()), (0, acknowledged.len()));
    assert!(
        failures.unanswered > 0,
        "no publish was under way at a kill"
    );
    assert!(slowest <= READY_WITHIN, "ready again after {slowest:?}");
}
