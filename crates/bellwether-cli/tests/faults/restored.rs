//! A broker restored from an older copy: it lost its end and goes on from there, with some numbers given out again.
//!
//! Every reader past the copy gets exactly one gap. A reader before it goes on exactly; where the nodes have outlived the loss
//! and can say so in the log, it gets a gap too, since it never got what was lost.

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

/// The nodes, and readers on both sides of the copy.
struct Scene {
    cluster: Cluster,
    past: Readers,
    earlier: Readers,
    /// All that was published before the copy came back.
    log: Vec<Item>,
}

impl Scene {
    /// Publishes what the copy will have. Then some of the readers leave.
    async fn start(cluster: Cluster) -> Self {
        let addresses = cluster.addresses();
        let mut scene = Self {
            past: Readers::start(&addresses, PAST_READERS).await,
            earlier: Readers::start(&addresses, EARLIER_READERS).await,
            log: Vec::new(),
            cluster,
        };
        scene.log = publish(&addresses, "kept", KEPT).await;
        scene.earlier.wait_for(scene.log.len()).await;
        scene.earlier.leave().await;
        scene
    }

    /// Publishes what the copy will not have.
    async fn go_past_the_copy(&mut self) {
        let lost = publish(&self.cluster.addresses(), "lost", LOST).await;
        self.log.extend(lost);
        self.past.wait_for(self.log.len()).await;
    }

    /// Goes on from the copy, and compares every run with the log as it was and as it is.
    async fn compare(mut self, name: &str, gaps_of_earlier: usize) {
        let addresses = self.cluster.addresses();
        publish(&addresses, "later", LATER).await;
        self.earlier.come_back(&addresses);
        publish_last(&addresses).await;
        let past = self.past.finish().await;
        let earlier = self.earlier.finish().await;
        let after = Log::of(&read_back(&self.cluster.address(0)).await);
        let before = Log::of(&self.log);
        let mut report = Report::default();
        report.check_order(&after);
        for run in past.iter().chain(&earlier) {
            report.check_reader_of_fork(run, &before, &after);
        }
        println!(
            "{name}, restored from an older copy: {report}, for {PAST_READERS} readers past it"
        );
        let gaps = |run: &Vec<Item>| {
            let is_gap = |item: &&Item| matches!(item, Item::Gap { .. });
            run.iter().filter(is_gap).count()
        };
        assert!(report.is_exact(), "{report}");
        assert!(past.iter().all(|run| gaps(run) == 1), "{report}");
        assert!(
            earlier.iter().all(|run| gaps(run) == gaps_of_earlier),
            "{report}"
        );
        assert!(after.len() < KEPT + 2 * LOST + LATER, "nothing was lost");
    }
}

/// Publishes a round of at least this number of events, one after the other, and returns their log.
async fn publish(addresses: &Addresses, round: &str, events: usize) -> Vec<Item> {
    let publishers = Publishers::start(addresses.clone(), round, 1, PACE);
    publishers.wait_for_more(events).await;
    let (acknowledged, _) = publishers.finish().await;
    acknowledged
        .into_iter()
        .map(|event| event.as_item())
        .collect()
}

async fn server_restored(mut daemon: Daemon, gaps_of_earlier: usize) {
    let cluster = Cluster::start(2, &daemon.url(), &[]).await;
    let mut scene = Scene::start(cluster).await;

    let copied = Folder::new(&format!("copy-of-{}", daemon.name()));
    daemon.stop().await;
    copy(daemon.folder(), copied.path());
    daemon.start_again().await;
    scene.go_past_the_copy().await;
    daemon.stop().await;
    copy(copied.path(), daemon.folder());
    daemon.start_again().await;

    scene.compare(daemon.name(), gaps_of_earlier).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_redis_gets_one_gap() {
    if let Some(daemon) = Daemon::redis().await {
        server_restored(daemon, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_nats_gets_one_gap() {
    if let Some(daemon) = Daemon::nats().await {
        server_restored(daemon, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_past_an_older_copy_of_a_sqlite_file_gets_one_gap() {
    let (folder, copied) = (Folder::new("restored"), Folder::new("copy-of-SQLite"));
    let broker = format!("sqlite:{}", folder.file("log.db"));
    let cluster = Cluster::start(1, &broker, &[]).await;
    let mut scene = Scene::start(cluster).await;

    scene.cluster.terminate(0).await;
    copy(folder.path(), copied.path());
    scene.cluster.start_node(0).await;
    scene.go_past_the_copy().await;
    scene.cluster.kill(0).await;
    copy(copied.path(), folder.path());
    scene.cluster.start_node(0).await;

    scene.compare("SQLite", 0).await;
}
