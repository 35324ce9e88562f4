//! What the delivery engine does to its readers: to a crowd that is stuck, to one that stops and goes on, and at the end.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether::{CloseReason, Running, Timeouts, Topic};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use crate::subscriptions::{Path, SOON, news, open, publish, serve_topic, subscribes};
use crate::support::serve;

const STUCK: usize = 200;
const GOOD: usize = 20;

/// What the crowd's sockets cannot hold, in events of [`FILLER`] bytes.
const EVENTS: usize = 500;
const FILLER: usize = 2_000;

/// Readers that never read, and readers that do.
struct Crowd {
    running: Running,
    news: Topic,
    stuck: Vec<RawClient>,
    good: Vec<RawClient>,
}

impl Crowd {
    /// Opens them at a server that gives up a socket that takes nothing for `stall`.
    async fn open(stall: Duration) -> Self {
        let (_, news) = news();
        let application = subscribes(Path::Engine.application(), &news, |s| s)
            .timeouts(Timeouts::default().write_stall(stall));
        let (running, address) = serve(application).await;
        let (mut stuck, mut good) = (Vec::new(), Vec::new());
        for _ in 0..STUCK {
            stuck.push(open_narrow(address).await);
        }
        for _ in 0..GOOD {
            good.push(open(address, &running).await);
        }
        Self {
            running,
            news,
            stuck,
            good,
        }
    }

    /// Publishes what the crowd cannot hold, and has the good readers read all of it, in order.
    async fn publish(&mut self) {
        let readers: Vec<_> = std::mem::take(&mut self.good)
            .into_iter()
            .map(|mut client| {
                tokio::spawn(async move {
                    for i in 0..EVENTS {
                        let event = client.next_event().await.unwrap();
                        let (number, _) = event.data.split_once(' ').unwrap();
                        assert_eq!(number, i.to_string());
                    }
                    client
                })
            })
            .collect();
        let filler = "x".repeat(FILLER);
        for i in 0..EVENTS {
            publish(&self.news, format!("{i} {filler}"));
            tokio::task::yield_now().await;
        }
        for reader in readers {
            self.good.push(reader.await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_never_reads_takes_no_event_from_anybody() {
    // Nobody is evicted here, so whatever the others get, they get beside the crowd.
    let mut crowd = Crowd::open(Duration::from_secs(3600)).await;
    crowd.publish().await;
    let streams = crowd.running.streams();
    let all = (STUCK + GOOD) as u64;
    assert_eq!((streams.open, streams.engine), (all, all), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_never_reads_is_evicted_by_the_deadline_and_leaves_nothing() {
    let mut crowd = Crowd::open(Duration::from_secs(2)).await;
    crowd.publish().await;
    let Crowd {
        running,
        news,
        stuck,
        good,
    } = crowd;
    eventually("the crowd to be evicted", SOON, || {
        running.streams().closed(CloseReason::TooSlow) == STUCK as u64
    })
    .await;
    assert_eq!(running.streams().open, GOOD as u64);
    assert_eq!(news.subscriber_count(), GOOD);
    drop((stuck, good));
    eventually("the others to leave", SOON, || running.streams().open == 0).await;
    assert_eq!(
        running.streams().closed(CloseReason::ClientLeft),
        GOOD as u64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_that_blocks_its_readers_reaches_them_to_its_end_although_nothing_follows() {
    const BURSTS: usize = 20;
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut readers = Vec::new();
    for _ in 0..GOOD {
        readers.push(open(address, &running).await);
    }
    let filler = "x".repeat(FILLER);
    for burst in 0..BURSTS {
        // Of many lengths, so that the ends fall on every step of what a shard reads and writes at once.
        let events = 100 + 37 * burst;
        let reading: Vec<_> = readers
            .into_iter()
            .map(|mut client| {
                tokio::spawn(async move {
                    for i in 0..events {
                        let event = client.next_event().await.unwrap();
                        assert!(event.data.starts_with(&format!("{burst} {i} ")));
                    }
                    client
                })
            })
            .collect();
        for i in 0..events {
            publish(&news, format!("{burst} {i} {filler}"));
            if i % 8 == 0 {
                tokio::task::yield_now().await;
            }
        }
        readers = Vec::new();
        for reader in reading {
            readers.push(reader.await.unwrap());
        }
    }
}

/// A client whose socket never grows: left to itself, the kernel may take megabytes for somebody who reads nothing.
async fn open_narrow(address: SocketAddr) -> RawClient {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    let mut client = RawClient::over(socket.connect(address).await.unwrap());
    client.get("/", &[]).await;
    assert_eq!(client.read_head().await.status, 200);
    client
}

#[tokio::test]
async fn a_reader_that_stops_and_goes_on_gets_every_event_whole() {
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut client = open(address, &running).await;
    let mut next = 0_u64;
    for round in 0..5_u64 {
        // More than any socket holds, in pieces of all sizes.
        for i in 0..60 {
            let number = round * 60 + i;
            publish(
                &news,
                format!("{number} {}", "x".repeat((i as usize * 3_571) % 70_000)),
            );
            tokio::task::yield_now().await;
        }
        while next < (round + 1) * 60 {
            let event = client.next_event().await.unwrap();
            assert_eq!(event.data.split(' ').next().unwrap(), next.to_string());
            next += 1;
        }
    }
    assert_eq!(running.streams().engine, 1);
}

#[tokio::test]
async fn connections_give_their_places_back_when_their_streams_end() {
    let (topics, news) = news();
    let application = subscribes(Path::Engine.application(), &news, |s| s.subject("all")).limits(
        bellwether::Limits::default()
            .max_connections(2)
            .max_refusals(0),
    );
    let (running, address) = serve(application).await;
    for _ in 0..3 {
        let mut clients = [open(address, &running).await, open(address, &running).await];
        // There is no position for it and none to say so, so it waits.
        let mut waiting = RawClient::connect(address).await;
        waiting.get("/missing", &[]).await;
        eventually("the engine", SOON, || topics.subscriber_count() == 2).await;
        topics.kick("all");
        for client in &mut clients {
            assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        }
        drop(clients);
        assert_eq!(waiting.read_head().await.status, 404);
        drop(waiting);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
