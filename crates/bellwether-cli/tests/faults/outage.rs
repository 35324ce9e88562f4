//! Redis and NATS: the broker dies, stands still, is restarted, while two nodes serve and publishing goes on.
//!
//! Streams stay open and keep-alives flow; readiness is false; publishes fail within a bound; when the broker is back,
//! every reader catches up exactly.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::publisher::Publishers;
use crate::reader::Readers;
use crate::scene::{READERS, settle};

const NODES: usize = 2;

/// The keep-alives of 15 s come at least twice in it.
const STANDSTILL: Duration = Duration::from_secs(40);

/// After the broker is back.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(5);

/// The time that a node gives a publish, and what a busy machine adds.
const FAILED_WITHIN: Duration = Duration::from_secs(8);

/// Two nodes on a broker, readers on both, and publishing under way.
struct Scene {
    daemon: Daemon,
    cluster: Cluster,
    readers: Readers,
    publishers: Publishers,
    what: &'static str,
}

impl Scene {
    async fn start(daemon: Daemon, what: &'static str) -> Self {
        let cluster = Cluster::start(NODES, &daemon.url(), &[]).await;
        let readers = Readers::start(&cluster.addresses(), READERS).await;
        let pace = Duration::from_millis(20);
        let publishers = Publishers::start(cluster.addresses(), "p", 4, pace);
        publishers.wait_for_more(300).await;
        Self {
            daemon,
            cluster,
            readers,
            publishers,
            what,
        }
    }

    /// Waits until both nodes say that they are not ready, and a publish has failed; how long that took.
    async fn see_the_outage(&self) -> Duration {
        let since = Instant::now();
        for node in 0..NODES {
            self.cluster.wait_until_ready(node, false).await;
        }
        let unready = since.elapsed();
        self.publishers.wait_for_failure().await;
        unready
    }

    /// Waits until publishing works and every reader has all that is acknowledged; how long that took.
    async fn catch_up(&self) -> Duration {
        let since = Instant::now();
        self.publishers.wait_for_more(1).await;
        let published = since.elapsed();
        self.readers.wait_for(self.publishers.count()).await;
        let caught_up = since.elapsed();
        let name = self.daemon.name();
        println!(
            "{name}, {}: publishing after {published:.2?}, all readers caught up after {caught_up:.2?}",
            self.what
        );
        assert!(
            caught_up <= CAUGHT_UP_WITHIN,
            "caught up after {caught_up:?}"
        );
        for node in 0..NODES {
            self.cluster.wait_until_ready(node, true).await;
        }
        caught_up
    }

    /// Publishes the last event and compares everything.
    async fn end(self) {
        self.publishers.wait_for_more(300).await;
        let Self {
            daemon,
            cluster,
            readers,
            publishers,
            what,
        } = self;
        let settled = settle(&cluster, NODES, publishers, readers).await;
        let (report, failures) = (&settled.report, &settled.failures);
        println!(
            "{}, {what}: {report}; {} publishes failed, the slowest after {:.2?}",
            daemon.name(),
            failures.unavailable,
            failures.slowest
        );
        settled.assert_exact();
        assert_eq!(settled.opened, 1, "a stream was closed");
        assert_eq!(failures.unanswered, 0, "a node did not answer");
        assert!(failures.slowest <= FAILED_WITHIN, "{failures:?}");
    }
}

async fn killed(daemon: Daemon) {
    let mut scene = Scene::start(daemon, "kill -9").await;
    scene.daemon.kill().await;
    let unready = scene.see_the_outage().await;
    println!("{}: not ready after {unready:.2?}", scene.daemon.name());
    scene.daemon.start_again().await;
    scene.catch_up().await;
    scene.end().await;
}

async fn standing_still(daemon: Daemon) {
    let scene = Scene::start(daemon, "SIGSTOP for 40 s").await;
    let since = Instant::now();
    let before = scene.readers.least_keep_alives();
    scene.daemon.pause().await;
    let unready = scene.see_the_outage().await;
    tokio::time::sleep(STANDSTILL.saturating_sub(since.elapsed())).await;
    let keep_alives = scene.readers.least_keep_alives() - before;
    println!(
        "{}: not ready after {unready:.2?}, {keep_alives} keep-alives in {STANDSTILL:?}",
        scene.daemon.name()
    );
    scene.daemon.resume().await;
    scene.catch_up().await;
    assert!(
        keep_alives >= 2,
        "{keep_alives} keep-alives in {STANDSTILL:?}"
    );
    scene.end().await;
}

async fn restarted(daemon: Daemon) {
    let mut scene = Scene::start(daemon, "restart").await;
    for _ in 0..3 {
        scene.daemon.stop().await;
        scene.daemon.start_again().await;
        scene.catch_up().await;
    }
    scene.end().await;
}

/// One test for each fault and broker, since they run at the same time.
macro_rules! outages {
    ($($broker:ident: $killed:ident $standing_still:ident $restarted:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $killed() {
            if let Some(daemon) = Daemon::$broker().await {
                killed(daemon).await;
            }
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $standing_still() {
            if let Some(daemon) = Daemon::$broker().await {
                standing_still(daemon).await;
            }
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $restarted() {
            if let Some(daemon) = Daemon::$broker().await {
                restarted(daemon).await;
            }
        }
    )*};
}

outages! {
    redis: readers_outlive_a_killed_redis readers_outlive_a_redis_that_stands_still readers_outlive_a_restart_of_redis;
    nats: readers_outlive_a_killed_nats readers_outlive_a_nats_that_stands_still readers_outlive_a_restart_of_nats;
}
