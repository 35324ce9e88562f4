//! Question: how many durable publishes a second, how fast a replay, how soon does a tail have a record?
//!
//! Run: `cargo run --release -p bellwether-nats --example nats_cost [nats://127.0.0.1:4222]`; without an address it starts a
//! `nats-server` of its own, in the system's folder for temporary files. Events are 300 bytes in 100 topics. Prints
//! figures and asserts only that they are of complete work; compare figures of one run only.

#![allow(clippy::print_stdout, reason = "the figures are the program's purpose")]

use std::error::Error;
use std::time::{Duration, Instant};

use bellwether_nats::NatsBroker;
use bellwether_testkit::NatsServer;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bellwether_topics::{Offset, ServerSentEvent, Topics};
use bytes::Bytes;

const EVENT_BYTES: usize = 300;
const TOPICS: u32 = 100;
const ROUND: Duration = Duration::from_secs(3);
const REPLAYED: u32 = 100_000;
const TIMED: u32 = 1000;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    if let Some(address) = std::env::args().nth(1) {
        return measure(&address).await;
    }
    let server = NatsServer::start("").await?;
    measure(&server.url()).await
}

async fn measure(address: &str) -> Outcome {
    let broker = connect(address, "publish").await?;
    let topics = Topics::with(broker.clone()).await?;
    for publishers in [1, 16, 128, 1024] {
        publish(&topics, publishers).await?;
    }
    topics.close().await?;

    let broker = connect(address, "replay").await?;
    fill(&broker).await?;
    replay(&broker, "all topics", None).await?;
    replay(&broker, "one topic", Some("topic-7")).await?;
    follow(&broker).await?;
    latency(&broker).await?;
    broker.shutdown().await?;
    Ok(())
}

/// A log of its own, empty.
async fn connect(address: &str, name: &str) -> Outcome<NatsBroker> {
    let stream = format!("cost-{name}-{}", std::process::id());
    Ok(NatsBroker::builder(address)
        .stream(&stream)
        .connect()
        .await?)
}

fn topic(number: u32) -> String {
    format!("topic-{}", number % TOPICS)
}

/// Publishers that each wait for one publish before the next, through topics, as an application does.
async fn publish(topics: &Topics, publishers: u32) -> Outcome {
    let event = ServerSentEvent::text("x".repeat(EVENT_BYTES));
    let (started, before) = (Instant::now(), processor_time());
    let mut tasks = Vec::new();
    for number in 0..publishers {
        let (topic, event) = (topics.topic(&topic(number))?, event.clone());
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while started.elapsed() < ROUND {
                let since = Instant::now();
                topic.publish(&event)?.await?;
                waits.push(since.elapsed());
            }
            Ok::<_, bellwether_topics::Error>(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let rate = waits.len() as f64 / started.elapsed().as_secs_f64();
    let cost = (processor_time() - before).as_secs_f64() * 1e6 / waits.len() as f64;
    println!(
        "{publishers:>4} publishers {rate:>8.0} events/s  {}  {cost:>5.1} us of our processor each",
        percentiles(waits)
    );
    Ok(())
}

async fn fill(broker: &NatsBroker) -> Outcome {
    let event = Bytes::from(format!("data: {}\n\n", "x".repeat(EVENT_BYTES)));
    let started = Instant::now();
    let numbers: Vec<_> = (0..REPLAYED).collect();
    for chunk in numbers.chunks(1024) {
        let record = |number: &u32| NewRecord {
            topic: topic(*number).into(),
            tag: *number,
            event: event.clone(),
            idempotency_key: None,
            conflation_key: None,
        };
        let records: Vec<_> = chunk.iter().map(record).collect();
        for answer in broker.append(&records).await? {
            answer?;
        }
    }
    let rate = f64::from(REPLAYED) / started.elapsed().as_secs_f64();
    println!(" append of lists of 1024 {rate:>8.0} events/s");
    Ok(())
}

fn report(what: &str, count: u32, bytes: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let (rate, volume) = (f64::from(count) / seconds, bytes as f64 / 1e6 / seconds);
    println!(
        "{what:<24} {rate:>8.0} events/s  {volume:>6.1} MB/s  {count} events in {seconds:.2} s"
    );
}

/// In pages as large as topics ask for.
async fn replay(broker: &NatsBroker, what: &str, topic: Option<&str>) -> Outcome {
    let topics = topic.map(|name| [name.into()]);
    let started = Instant::now();
    let (mut from, mut count, mut bytes) = (Offset::ZERO, 0, 0);
    loop {
        let request = ReadRequest {
            from,
            topics: topics.as_ref().map(|topics| &topics[..]),
            max_records: 256,
            max_bytes: 64 << 10,
        };
        let page = broker.read(request).await?;
        let new = page.records.iter().filter(|record| record.offset > from);
        let Some(last) = new.clone().last() else {
            break;
        };
        count += u32::try_from(new.clone().count())?;
        bytes += new.map(|record| record.event.len()).sum::<usize>();
        from = last.offset;
    }
    assert_eq!(
        count,
        if topic.is_some() {
            REPLAYED / TOPICS
        } else {
            REPLAYED
        }
    );
    report(&format!("replay of {what}"), count, bytes, started);
    Ok(())
}

async fn follow(broker: &NatsBroker) -> Outcome {
    let started = Instant::now();
    let mut tail = broker.tail(Offset::ZERO).await?;
    let (mut count, mut bytes) = (0, 0);
    while count < REPLAYED {
        let records = tail.next().await?.records;
        count += u32::try_from(records.len())?;
        bytes += records
            .iter()
            .map(|record| record.event.len())
            .sum::<usize>();
    }
    report("tail from the start", count, bytes, started);
    Ok(())
}

/// From the call that appends on one connection until the tail on another has the record.
async fn latency(broker: &NatsBroker) -> Outcome {
    let head = broker.bounds().await?.head;
    let mut tail = broker.tail(head).await?;
    tail.next().await?;
    let mut waits = Vec::new();
    for number in 0..TIMED {
        let record = NewRecord {
            topic: topic(number).into(),
            tag: number,
            event: Bytes::from(format!("data: {}\n\n", "x".repeat(EVENT_BYTES))),
            idempotency_key: None,
            conflation_key: None,
        };
        let records = [record];
        let since = Instant::now();
        let followed = async {
            while tail.next().await?.records.is_empty() {}
            Ok::<_, bellwether_topics::broker::BrokerError>(since.elapsed())
        };
        let (appended, followed) = tokio::join!(broker.append(&records), followed);
        appended?;
        waits.push(followed?);
    }
    println!(
        "publish to tail                            {}",
        percentiles(waits)
    );
    Ok(())
}

fn percentiles(mut waits: Vec<Duration>) -> String {
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    format!("p50 {:>8.1?}  p99 {:>8.1?}", at(0.5), at(0.99))
}

/// The processor time of this process, where the system tells it in ticks of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(12)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
