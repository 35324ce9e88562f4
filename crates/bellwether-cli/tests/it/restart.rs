//! A thousand clients, a server that drains and comes back: no client misses an event or gets one twice.
//!
//! The test is here because only this crate has both sides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::{
    Application, Drain, HttpError, Listener, Running, ServerSentEvent, Subscription, Topic, Topics,
    get,
};
use bellwether_client::{EventSource, Item};
use bellwether_testkit::{eventually, or_skip};

const CLIENTS: u64 = 1000;

/// How many events are published before the stop, and after all are back; between them, as many as the time takes.
const EVENTS: u64 = 20;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

async fn start(topic: &Topic, address: SocketAddr) -> Running {
    let topic = topic.clone();
    let events = move || -> Result<Subscription, HttpError> { Ok(topic.subscribe().open()?) };
    let application = Application::new()
        .route(("/events", get(events)))
        // Clients come back over two seconds; the default is ten.
        .drain(Drain::default().window(Duration::from_secs(2)));
    let listener = Listener::tcp(address).await.unwrap();
    application.start(listener).await.unwrap()
}

/// How far clients and publisher are.
#[derive(Debug, Default)]
struct Progress {
    /// Clients that have got the first event.
    begun: AtomicU64,
    /// Attempts that found no server.
    refused: AtomicU64,
    published: AtomicU64,
    is_over: AtomicBool,
}

/// What one client has seen.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    lost: u64,
    repeated: u64,
    gaps: u64,
    reconnects: u64,
}

/// Reads until the last event.
async fn read(url: String, progress: Arc<Progress>) -> Seen {
    let mut source = EventSource::new(url).unwrap();
    let mut seen = Seen::default();
    let mut next = 0;
    while let Some(item) = source.next().await {
        match item.unwrap() {
            Item::Message(message) if message.data == "end" => break,
            Item::Message(message) => {
                let number: u64 = message.data.parse().unwrap();
                if number == 0 {
                    progress.begun.fetch_add(1, Ordering::Relaxed);
                }
                seen.events += 1;
                seen.lost += number.saturating_sub(next);
                seen.repeated += u64::from(number < next);
                next = next.max(number + 1);
            }
            Item::Gap(_) => seen.gaps += 1,
            Item::Waiting(waiting) => {
                seen.reconnects += 1;
                if waiting.cause.is_some_and(|cause| cause.is_transport()) {
                    progress.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
    seen
}

/// Publishes numbers, one each 20 ms, until told to stop; gives how many there were.
async fn publish(topic: Topic, progress: Arc<Progress>) -> u64 {
    let mut number = 0;
    while !progress.is_over.load(Ordering::Relaxed) {
        let event = ServerSentEvent::text(number.to_string());
        topic.publish(&event).unwrap().await.unwrap();
        number += 1;
        progress.published.store(number, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    topic
        .publish(&ServerSentEvent::text("end"))
        .unwrap()
        .await
        .unwrap();
    number
}

async fn reaches(count: &AtomicU64, wanted: u64) {
    let is_so = || count.load(Ordering::Relaxed) >= wanted;
    eventually("a count", TEST_TIMEOUT, is_so).await;
}

/// The files that this process may have open, as far as the system tells.
fn enough_files() -> Result<(), String> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    match soft.and_then(|soft| soft.parse::<u64>().ok()) {
        Some(files) if files < 2 * CLIENTS + 200 => {
            Err(format!("{files} open files are allowed: ulimit -n 4096"))
        }
        _ => Ok(()),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are for the person who reads the test's output"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_lose_and_repeat_nothing_when_the_server_drains_and_restarts() {
    if or_skip(enough_files()).is_none() {
        return;
    }
    let topic = Topics::new().topic("numbers").unwrap();
    let server = start(&topic, "127.0.0.1:0".parse().unwrap()).await;
    let address = server.address().socket_addr().unwrap();
    let url = format!("http://{address}/events");
    let progress = Arc::new(Progress::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(read(url.clone(), Arc::clone(&progress))))
        .collect();
    let has_opened = || server.streams().opened == CLIENTS;
    eventually("all streams", TEST_TIMEOUT, has_opened).await;
    let publisher = tokio::spawn(publish(topic.clone(), Arc::clone(&progress)));
    reaches(&progress.begun, CLIENTS).await;
    reaches(&progress.published, EVENTS).await;

    let stopping = Instant::now();
    let counts = server.stop().await.unwrap();
    let drained = stopping.elapsed();
    reaches(&progress.refused, CLIENTS / 10).await;
    let server = start(&topic, address).await;
    let is_back = || server.streams().opened >= CLIENTS;
    eventually("all streams again", TEST_TIMEOUT, is_back).await;
    let back = stopping.elapsed();
    let now = progress.published.load(Ordering::Relaxed);
    reaches(&progress.published, now + EVENTS).await;
    progress.is_over.store(true, Ordering::Relaxed);
    let published = publisher.await.unwrap();

    let mut sum = Seen::default();
    for client in clients {
        let seen = tokio::time::timeout(TEST_TIMEOUT, client)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (seen.events, seen.lost, seen.repeated, seen.gaps),
            (published, 0, 0, 0),
            "{seen:?}"
        );
        sum.events += seen.events;
        sum.reconnects += seen.reconnects;
    }
    println!(
        "{CLIENTS} clients, {published} events published, {} received, 0 lost, 0 repeated, {} reconnects; \
         {counts:?}; drained in {drained:.1?}, all back after {back:.1?}",
        sum.events, sum.reconnects
    );
    assert!(sum.reconnects >= CLIENTS);
}
