//! What the delivery engine does to its readers: to a crowd that is stuck, to one that stops and goes on, and at the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether::{CloseReason, Timeouts};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use crate::subscriptions::{Path, SOON, news, open, publish, serve_topic, subscribes};
use crate::support::serve;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_never_reads_takes_no_event_from_anybody_and_is_evicted_by_the_deadline() {
    const STUCK: usize = 200;
    const GOOD: usize = 20;
    const EVENTS: usize = 1_500;
    let (_, news) = news();
    let application = subscribes(Path::Engine.application(), &news, |s| s)
        .timeouts(Timeouts::default().write_stall(Duration::from_secs(2)));
    let (running, address) = serve(application).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(open_narrow(address).await);
    }
    let mut readers = Vec::new();
    for _ in 0..GOOD {
        let mut client = open(address, &running).await;
        readers.push(tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            for i in 0..EVENTS {
                let event = client.next_event().await.unwrap();
                let (number, sent) = event.data.split_once(' ').unwrap();
                assert_eq!(number, i.to_string());
                let sent: u128 = sent.split(' ').next().unwrap().parse().unwrap();
                slowest = slowest.max(Duration::from_micros((micros() - sent).try_into().unwrap()));
            }
            (slowest, client)
        }));
    }
    let filler = "x".repeat(2_000);
    for i in 0..EVENTS {
        publish(&news, format!("{i} {} {filler}", micros()));
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let mut good = Vec::new();
    for reader in readers {
        let (slowest, client) = reader.await.unwrap();
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        good.push(client);
    }
    eventually("the crowd to be evicted", SOON, || {
        running.streams().open <= GOOD as u64
    })
    .await;
    let streams = running.streams();
    let evicted = streams.closed(CloseReason::TooSlow);
    assert_eq!(evicted, STUCK as u64, "{streams:?}");
    assert_eq!(
        (streams.open, streams.engine),
        (GOOD as u64, (STUCK + GOOD) as u64)
    );
    assert_eq!(news.subscriber_count(), GOOD);
    drop((stuck, good));
    eventually("the others to leave", SOON, || running.streams().open == 0).await;
    assert_eq!(
        running.streams().closed(CloseReason::ClientLeft),
        GOOD as u64
    );
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

/// Microseconds since the first call.
fn micros() -> u128 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros()
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
        // There is no place for it and none to say so, so it waits.
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
