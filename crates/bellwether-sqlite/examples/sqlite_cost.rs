//! Question: how many durable publishes a second, how long does each wait, and how fast is a replay?
//!
//! Run: `cargo run --release -p bellwether-sqlite --example sqlite_cost [folder]`. The folder's disk is what is measured mostly;
//! the default is the system's folder for temporary files. Prints figures and asserts nothing; compare figures of one
//! run only.

#![allow(clippy::print_stdout, reason = "the figures are the program's purpose")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bellwether_topics::{Offset, ServerSentEvent, Topics};

const EVENT_BYTES: usize = 300;
const TOPICS: usize = 100;
const LASTS: Duration = Duration::from_secs(4);
const REPLAYED: u64 = 100_000;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("bellwether-cost-{}.db", std::process::id()));
    for publishers in [1, 16, 128] {
        publish(&path, publishers, 1_000_000).await?;
        remove(&path);
    }
    // A log that is full: what comes removes what is old.
    publish(&path, 128, 20_000).await?;
    remove(&path);
    replay(&path).await?;
    remove(&path);
    Ok(())
}

/// Publishers that each wait for one publish before the next, through topics, as an application does.
async fn publish(path: &Path, publishers: usize, max_records: u64) -> Outcome {
    let broker = SqliteBroker::builder(path)
        .max_records(max_records)
        .open()?;
    let topics = Topics::with(broker).await?;
    let event = ServerSentEvent::text("x".repeat(EVENT_BYTES));
    let until = Instant::now() + LASTS;
    let (processor, written) = (processor_time(), written_bytes());
    let mut tasks = Vec::new();
    for number in 0..publishers {
        let topics = topics.clone();
        let event = event.clone();
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < until {
                let topic = topics.topic(&format!(
                    "topic-{}",
                    (number * 7 + waits.len() * 13) % TOPICS
                ))?;
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
    let written = written_bytes().saturating_sub(written);
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "{publishers:>4} publishers, at most {max_records:>7} records: {:>7.0} events/s, p50 {:>7.2?}, p99 {:>7.2?}, worst {:>7.2?}; each takes \
         {:.1} us of processor and {:.1} KiB of writing",
        waits.len() as f64 / LASTS.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
        processor.as_secs_f64() * 1e6 / waits.len() as f64,
        written as f64 / 1024.0 / waits.len() as f64,
    );
    topics.close().await?;
    Ok(())
}

/// One reader that takes the whole log in pages of 256 records, as a subscription does that comes back after long.
async fn replay(path: &Path) -> Outcome {
    let broker = SqliteBroker::open(path)?;
    let names: Vec<Arc<str>> = (0..TOPICS)
        .map(|number| format!("topic-{number}").into())
        .collect();
    let event = bytes::Bytes::from("x".repeat(EVENT_BYTES));
    for first in (0..REPLAYED).step_by(1000) {
        let records: Vec<_> = (first..first + 1000)
            .map(|number| NewRecord {
                topic: names[number as usize % TOPICS].clone(),
                tag: number as u32,
                event: event.clone(),
                idempotency_key: None,
                conflation_key: None,
            })
            .collect();
        broker.append(&records).await?;
    }
    let few = &names[..1];
    for (what, topics, expected) in [
        ("all topics", None, REPLAYED),
        (
            "all topics, by name",
            Some(&names[..64]),
            REPLAYED * 64 / 100,
        ),
        ("one topic of 100", Some(few), REPLAYED / 100),
    ] {
        let (before, since) = (resident_bytes(), Instant::now());
        let (mut from, mut count, mut bytes, mut most) = (Offset::ZERO, 0, 0, 0);
        loop {
            let page = broker
                .read(ReadRequest {
                    from,
                    topics,
                    max_records: 256,
                    max_bytes: 64 << 10,
                })
                .await?;
            let later = page.records.iter().filter(|record| record.offset > from);
            let Some(last) = later.clone().last() else {
                break;
            };
            count += later.clone().count() as u64;
            bytes += later.map(|record| record.event.len()).sum::<usize>();
            from = last.offset;
            most = most.max(resident_bytes());
        }
        assert_eq!(count, expected, "a replay is complete");
        let elapsed = since.elapsed();
        println!(
            "replay of {count:>6} events, {what}: {:>6.1} MB/s, {:>7.0} events/s, memory grew by {} KiB",
            bytes as f64 / 1e6 / elapsed.as_secs_f64(),
            count as f64 / elapsed.as_secs_f64(),
            most.saturating_sub(before) / 1024,
        );
    }
    broker.shutdown().await?;
    Ok(())
}

/// The memory of this process, where the system tells it in pages of 4 KiB.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
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

/// What this process has written to disks, where the system tells it.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm", "-lock"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let _ = std::fs::remove_file(name);
    }
}
