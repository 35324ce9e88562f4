//! Question: how many durable publishes a second, how long does each wait, how fast is a replay, and how soon does a
//! reader of another node have an event?
//!
//! Run: `cargo run --release -p bellwether-redis --example redis_cost`. Starts `redis-server` by itself, in the system's folder
//! for temporary files, whose disk is measured too. Prints figures and asserts only that they are of complete work;
//! compare figures of one run only.

#![allow(clippy::print_stdout, reason = "the figures are the program's purpose")]

use std::error::Error;
use std::time::{Duration, Instant};

use bellwether_redis::RedisBroker;
use bellwether_testkit::RedisServer;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bellwether_topics::{Offset, ServerSentEvent, Topics};

const EVENT_BYTES: usize = 300;
const TOPICS: usize = 100;
const LASTS: Duration = Duration::from_secs(4);
const REPLAYED: u32 = 100_000;
const TIMED: usize = 1000;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    for sync in ["always", "everysec"] {
        let server = RedisServer::start(&["--appendfsync", sync]).await?;
        for publishers in [1, 16, 128] {
            print!("appendfsync {sync:<8} ");
            publish(&server.url(), publishers).await?;
        }
        print!("appendfsync {sync:<8} ");
        latency(&server.url()).await?;
        if sync == "everysec" {
            replay(&server.url()).await?;
        }
    }
    Ok(())
}

/// Publishers that each wait for one publish before the next, through topics, as an application does.
async fn publish(url: &str, publishers: usize) -> Outcome {
    let topics = Topics::with(RedisBroker::connect(url).await?).await?;
    let event = ServerSentEvent::text("x".repeat(EVENT_BYTES));
    let until = Instant::now() + LASTS;
    let processor = processor_time();
    let mut tasks = Vec::new();
    for number in 0..publishers {
        let (topics, event) = (topics.clone(), event.clone());
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < until {
                let name = format!("topic-{}", (number * 7 + waits.len() * 13) % TOPICS);
                let topic = topics.topic(&name)?;
                let since = Instant::now();
                topic.publish(&event)?.await?;
                waits.push(since.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let processor = processor_time().saturating_sub(processor);
    println!(
        "{publishers:>4} publishers: {:>7.0} events/s, {}, {:>5.1} us of our processor each",
        waits.len() as f64 / LASTS.as_secs_f64(),
        percentiles(&mut waits),
        processor.as_secs_f64() * 1e6 / waits.len() as f64,
    );
    topics.close().await?;
    Ok(())
}

/// From the call that publishes on one node until a reader of another has the event; one event at a time.
async fn latency(url: &str) -> Outcome {
    let here = Topics::with(RedisBroker::connect(url).await?).await?;
    let there = Topics::with(RedisBroker::connect(url).await?).await?;
    let mut reader = there.topic("timed")?.subscribe().from_now().open()?;
    let topic = here.topic("timed")?;
    let event = ServerSentEvent::text("x".repeat(EVENT_BYTES));
    let mut waits = Vec::new();
    while waits.len() < TIMED {
        let since = Instant::now();
        let published = topic.publish(&event)?;
        let delivery = reader.next().await.ok_or("the stream has ended")?;
        assert!(delivery.frame().is_some(), "an event and no gap");
        waits.push(since.elapsed());
        published.await?;
    }
    println!(
        "publish to reader of another node: {}",
        percentiles(&mut waits)
    );
    here.close().await?;
    there.close().await?;
    Ok(())
}

/// One reader that takes the whole log in pages of 256 records, as a subscription does that comes back after long.
async fn replay(url: &str) -> Outcome {
    let builder = RedisBroker::builder(url).name("replay").max_records(0);
    let broker = builder.connect().await?;
    let event = bytes::Bytes::from("x".repeat(EVENT_BYTES));
    for first in (0..REPLAYED).step_by(1000) {
        let records: Vec<_> = (first..first + 1000)
            .map(|number| NewRecord {
                topic: format!("topic-{}", number as usize % TOPICS).into(),
                tag: number,
                event: event.clone(),
                idempotency_key: None,
                conflation_key: None,
            })
            .collect();
        broker.append(&records).await?;
    }
    let rare = ["topic-7".into()];
    for (what, topics, expected) in [
        ("all topics", None, REPLAYED),
        ("one topic of 100", Some(&rare[..]), REPLAYED / 100),
    ] {
        let since = Instant::now();
        let (mut from, mut count, mut bytes) = (Offset::ZERO, 0, 0);
        loop {
            let request = ReadRequest {
                from,
                topics,
                max_records: 256,
                max_bytes: 64 << 10,
            };
            let page = broker.read(request).await?;
            let later = page.records.iter().filter(|record| record.offset > from);
            let Some(last) = later.clone().last() else {
                break;
            };
            let wanted =
                later.filter(|record| topics.is_none_or(|all| all.contains(&record.topic)));
            for record in wanted {
                count += 1;
                bytes += record.event.len();
            }
            from = last.offset;
        }
        assert_eq!(count, expected, "a replay is complete");
        let elapsed = since.elapsed().as_secs_f64();
        println!(
            "replay of {count:>6} events, {what}: {:>6.1} MB/s, {:>7.0} events/s, {elapsed:.2} s",
            bytes as f64 / 1e6 / elapsed,
            f64::from(count) / elapsed,
        );
    }
    broker.shutdown().await?;
    Ok(())
}

fn percentiles(waits: &mut [Duration]) -> String {
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    format!(
        "p50 {:>7.2?}, p99 {:>7.2?}, worst {:>7.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// The processor time of this process, where the system tells it in ticks of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(12)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
