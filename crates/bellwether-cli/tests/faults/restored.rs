//! A broker restored from an older copy: it lost its end and goes on from there, with some numbers given out again.
//!
//! Every reader past the copy is told of exactly one gap; a reader before it goes on exactly.

use std::time::Duration;

use crate::check::{Log, Report};
use crate::cluster::{Addresses, Cluster};
use crate::daemon::Daemon;
use crate::journal::Item;
use crate::publisher::{Publishers, publish_last};
use crate::reader::{Readers, read_back};
use crate::scene::{Folder, copy};

const PAST_READERS: usize = 60;
const EARLIER_READERS: usize = 20;
const PACE: Duration = Duration::from_millis(5);

/// Events that are in the copy, that are lost with what came after it, and that come later.
const KEPT: usize = 150;
const LOST: usize = 40;
const LATER: usize = 100;

/// Publishes a round of at least so many events, one after the other; the log of these and of those before.
async fn publish(addresses: &Addresses, round: &str, events: usize, log: &mut Vec<Item>) {
    let publishers = Publishers::start(addresses.clone(), round, 1, PACE);
    publishers.wait_for_more(events).await;
    let (acknowledged, _) = publishers.finish().await;
    log.extend(acknowledged.into_iter().map(|event| event.as_item()));
}

/// Compares every run with the log as it was and as it is.
async fn compare(name: &str, cluster: &Cluster, before: &[Item], past: Readers, earlier: Readers) {
    let past = past.finish().await;
    let earlier = earlier.finish().await;
    let after = Log::of(&read_back(&cluster.address(0)).await);
    let before = Log::of(before);
    let mut report = Report::default();
    report.check_order(&after);
    for run in past.iter().chain(&earlier) {
        report.check_reader_of_fork(run, &before, &after);
    }
    println!("{name}, restored from an older copy: {report}, for {PAST_READERS} readers past it");
    let gaps = |run: &Vec<Item>| {
        let is_gap = |item: &&Item| matches!(item, Item::Gap { .. });
        run.iter().filter(is_gap).count()
    };
    assert!(report.is_exact(), "{report}");
    assert!(past.iter().all(|run| gaps(run) == 1), "{report}");
    assert!(earlier.iter().all(|run| gaps(run) == 0), "{report}");
    assert!(after.len() < KEPT + 2 * LOST + LATER, "nothing was lost");
}

async fn server_restored(mut daemon: Daemon) {
    let cluster = Cluster::start(2, &daemon.url(), &[]).await;
    let addresses = cluster.addresses();
    let past = Readers::start(&addresses, PAST_READERS).await;
    let mut earlier = Readers::start(&addresses, EARLIER_READERS).await;
    let mut log = Vec::new();
    publish(&addresses, "kept", KEPT, &mut log).await;
    earlier.wait_for(log.len()).await;
    earlier.leave().await;

    let copied = Folder::new(&format!("copy-of-{}", daemon.name()));
    daemon.stop().await;
    copy(daemon.folder(), copied.path());
    daemon.start_again().await;
    publish(&addresses, "lost", LOST, &mut log).await;
    past.wait_for(log.len()).await;
    daemon.stop().await;
    copy(copied.path(), daemon.folder());
    daemon.start_again().await;

    publish(&addresses, "later", LATER, &mut Vec::new()).await;
    earlier.come_back(&addresses);
    publish_last(&addresses).await;
    compare(daemon.name(), &cluster, &log, past, earlier).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_redis_gets_one_gap() {
    if let Some(daemon) = Daemon::redis().await {
        server_restored(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_nats_gets_one_gap() {
    if let Some(daemon) = Daemon::nats().await {
        server_restored(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_a_sqlite_file_gets_one_gap() {
    let (folder, copied) = (Folder::new("restored"), Folder::new("copy-of-SQLite"));
    let broker = format!("sqlite:{}", folder.file("log.db"));
    let mut cluster = Cluster::start(1, &broker, &[]).await;
    let addresses = cluster.addresses();
    let past = Readers::start(&addresses, PAST_READERS).await;
    let mut earlier = Readers::start(&addresses, EARLIER_READERS).await;
    let mut log = Vec::new();
    publish(&addresses, "kept", KEPT, &mut log).await;
    earlier.wait_for(log.len()).await;
    earlier.leave().await;

    cluster.terminate(0).await;
    copy(folder.path(), copied.path());
    cluster.start_node(0).await;
    publish(&addresses, "lost", LOST, &mut log).await;
    past.wait_for(log.len()).await;
    cluster.kill(0).await;
    copy(copied.path(), folder.path());
    cluster.start_node(0).await;

    publish(&addresses, "later", LATER, &mut Vec::new()).await;
    earlier.come_back(&addresses);
    publish_last(&addresses).await;
    compare("SQLite", &cluster, &log, past, earlier).await;
}
