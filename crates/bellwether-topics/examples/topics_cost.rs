//! Question: what do a publish and a delivery cost, in nanoseconds of one core?
//!
//! Run: `cargo run --release -p bellwether-topics --example topics_cost`. Prints the best of five rounds of each figure and
//! asserts nothing; compare figures of one run only.

#![allow(clippy::print_stdout, reason = "the figures are the program's purpose")]

use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bellwether_topics::{
    Delivery, Error, Policy, Retention, ServerSentEvent, Subscription, Topic, Topics, Watch,
};

const ROUNDS: usize = 5;
const EVENTS: u32 = 10_000;
const READERS: usize = 10_000;

fn measure(what: &str, per_round: u32, mut round: impl FnMut() -> Duration) {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    println!(
        "{what:<62} {:>8.1} ns",
        best.as_nanos() as f64 / f64::from(per_round)
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn publish(topic: &Topic, event: &ServerSentEvent, count: u32) {
    for _ in 0..count {
        // Nothing here can fail: the event is small and the topics are open.
        let _ = black_box(topic.publish(event));
    }
}

fn poll(reader: &mut Subscription, out: &mut Vec<Delivery>) -> Poll<Option<usize>> {
    reader.poll_frames(&mut Context::from_waker(Waker::noop()), 32 << 10, out)
}

fn topics() -> Topics {
    let retention = Retention::new().max_bytes(64 << 20);
    Topics::builder().retention(retention).build()
}

/// The memory of this process, on systems that report it in pages of 4 KiB.
fn resident_bytes() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn main() -> Result<(), Error> {
    let event = ServerSentEvent::text("x".repeat(100));

    let topic = topics().topic("t")?;
    measure("publish, no reader", EVENTS, || {
        timed(|| publish(&topic, &event, EVENTS))
    });
    let topic = topics().topic("t")?;
    measure("publish with an idempotency key", EVENTS, {
        let mut number = 0_u64;
        let (topic, event) = (&topic, &event);
        move || {
            timed(|| {
                for _ in 0..EVENTS {
                    number += 1;
                    let _ = black_box(topic.publish_with_key(&number.to_string(), event));
                }
            })
        }
    });

    let all = topics();
    let handles: Vec<_> = (0..READERS)
        .map(|n| all.topic(&format!("topic-{n}")))
        .collect::<Result<_, _>>()?;
    measure("publish to one of 10,000 topics in turn", EVENTS, || {
        timed(|| {
            for topic in &handles {
                publish(topic, &event, 1);
            }
        })
    });

    let topic = topics().topic("t")?;
    let mut watch = Watch::new();
    watch.add(&topic);
    measure(
        "publish, one watch that is polled once per 16",
        EVENTS,
        || {
            let mut cx = Context::from_waker(Waker::noop());
            let mut tokens = Vec::new();
            timed(|| {
                for _ in 0..EVENTS / 16 {
                    publish(&topic, &event, 16);
                    tokens.clear();
                    let _ = black_box(watch.poll_dirty(&mut cx, &mut tokens));
                }
            })
        },
    );

    let topic = topics().topic("t")?;
    let before = resident_bytes();
    let mut readers: Vec<_> = (0..READERS)
        .map(|_| topic.subscribe().open())
        .collect::<Result<_, _>>()?;
    let mut out = Vec::with_capacity(64);
    for reader in &mut readers {
        black_box(poll(reader, &mut out).is_pending());
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let each = after.saturating_sub(before) / READERS;
        println!("a reader that waits, resident memory, {each} bytes");
    }
    for (batch, name) in [(1, "one at a time"), (16, "16 at a time")] {
        measure(
            &format!("delivery by poll_frames to 10,000 readers, {name}"),
            READERS as u32 * batch,
            || {
                for reader in &mut readers {
                    out.clear();
                    while poll(reader, &mut out).is_ready() {}
                }
                publish(&topic, &event, batch);
                timed(|| {
                    for reader in &mut readers {
                        out.clear();
                        black_box(poll(reader, &mut out).is_ready());
                    }
                })
            },
        );
    }
    measure(
        "a read of a reader that has everything",
        READERS as u32,
        || {
            for reader in &mut readers {
                while poll(reader, &mut out).is_ready() {}
            }
            timed(|| {
                for reader in &mut readers {
                    black_box(poll(reader, &mut out).is_pending());
                }
            })
        },
    );
    measure(
        "publish that finds 10,000 readers waiting, whole",
        1,
        || {
            for reader in &mut readers {
                while poll(reader, &mut out).is_ready() {}
            }
            timed(|| publish(&topic, &event, 1))
        },
    );

    let mut shared = topic.reader();
    let mut frames = Vec::new();
    measure("frame read by a LogReader, 16 at a time", EVENTS, || {
        let mut total = Duration::ZERO;
        for _ in 0..EVENTS / 16 {
            publish(&topic, &event, 16);
            frames.clear();
            total += timed(|| {
                black_box(shared.read(32 << 10, &mut frames));
            });
        }
        total
    });

    let names: Vec<_> = (0..64).map(|n| format!("topic-{n}")).collect();
    let mut many = all
        .subscribe(&names)
        .policy(Policy::skip_to_latest())
        .open()?;
    measure(
        "delivery to a reader of 64 topics, 64 at a time",
        EVENTS,
        || {
            let mut total = Duration::ZERO;
            for _ in 0..EVENTS / 64 {
                for topic in &handles[..64] {
                    publish(topic, &event, 1);
                }
                out.clear();
                total += timed(|| while poll(&mut many, &mut out).is_ready() {});
            }
            total
        },
    );
    measure("open and drop of a subscription", EVENTS, || {
        timed(|| {
            for _ in 0..EVENTS {
                black_box(topic.subscribe().open().is_ok());
            }
        })
    });
    println!("a Subscription is {} bytes", size_of::<Subscription>());
    Ok(())
}
