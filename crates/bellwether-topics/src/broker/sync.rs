//! The two tasks of a node whose log lives in a broker: one appends what is published here, one follows the log.
//!
//! Both are stopped by the [`Topics`](crate::Topics) that started them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use crate::broker::catch_up::{BROKER_TIMEOUT, Backoff, in_time};
use crate::broker::health::{BrokerHealth, with_causes};
use crate::broker::{Broker, BrokerError, NewRecord, Page};
use crate::clock;
use crate::error::{Error, Kind};
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::Draft;
use crate::log::Log;
use crate::log::wake;
use crate::metrics::Metrics;

/// The most records of one append.
const MAX_BATCH: usize = 1024;

/// A record that waits for its append.
#[derive(Debug)]
pub(crate) struct PendingPublish {
    pub(crate) record: NewRecord,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Cursor, Error>>,
}

/// Appends what the queue holds, in its order, until its senders are gone. While one append is under way the next batch
/// collects: that is the group commit.
pub(crate) async fn append_all(
    broker: Arc<dyn Broker>,
    mut queue: mpsc::Receiver<PendingPublish>,
    timeout: Duration,
    metrics: Arc<Metrics>,
    health: Arc<BrokerHealth>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let now = clock::now();
        let mut records = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for pending in batch.drain(..) {
            if pending.deadline <= now {
                // Certainly not in the log. The caller gave up at the deadline, so there is no one to answer.
                metrics.publish_failed.increment(1);
                let _ = pending
                    .answer
                    .send(Err(Kind::TimedOut { after: timeout }.into()));
            } else {
                records.push(pending.record);
                answers.push(pending.answer);
            }
        }
        if records.is_empty() {
            continue;
        }
        let results = match tokio::time::timeout(timeout, broker.append(&records)).await {
            Ok(Ok(results)) => results
                .into_iter()
                .map(|result| Ok(result.map(|stored| stored.cursor)?))
                .collect(),
            Ok(Err(error)) => repeat(&error, answers.len()),
            Err(_) => answers
                .iter()
                .map(|_| Err(Kind::TimedOut { after: timeout }.into()))
                .collect::<Vec<Result<Cursor, Error>>>(),
        };
        health.published(outcome(&results));
        for (answer, result) in answers.into_iter().zip(results) {
            match &result {
                Ok(_) => metrics.published.increment(1),
                Err(_) => metrics.publish_failed.increment(1),
            }
            // A publisher may have dropped its future.
            let _ = answer.send(result);
        }
    }
}

/// Whether the broker stores events. A refused event does not count, since the mistake is its publisher's.
fn outcome(results: &[Result<Cursor, Error>]) -> Result<(), String> {
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    match errors.into_iter().find(|error| error.is_unavailable()) {
        Some(error) => Err(with_causes(error)),
        None => Ok(()),
    }
}

/// One error for each record of a batch.
fn repeat(error: &BrokerError, count: usize) -> Vec<Result<Cursor, Error>> {
    let again = || match error.is_refused() {
        true => BrokerError::refused(error.to_string()),
        false => BrokerError::unavailable(error.to_string()),
    };
    (0..count).map(|_| Err(Error::from(again()))).collect()
}

/// Follows the broker's log into this node's memory until it is aborted.
pub(crate) async fn follow(
    broker: Arc<dyn Broker>,
    log: Arc<Log>,
    is_ready: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    health: Arc<BrokerHealth>,
) {
    let (heard, hearing) = watch::channel(tokio::time::Instant::now());
    let mut silence = pin!(notice_silence(hearing, &is_ready, &metrics, &health));
    let mut following = pin!(async {
        let mut backoff = Backoff::new();
        loop {
            let result = follow_once(&*broker, &log, || {
                backoff = Backoff::new();
                if !is_ready.swap(true, Ordering::AcqRel) {
                    metrics.broker_ready.set(1.0);
                }
                health.heard();
                heard.send_replace(tokio::time::Instant::now());
            });
            // The tail failed or the node was reset. Without a pause, a log whose pages never match its bounds would be
            // asked in a tight loop.
            if let Err(error) = result.await {
                health.tail_ended(error);
            }
            backoff.sleep().await;
        }
    });
    let mut publishes = pin!(health.watch_publishes());
    // In this order, so that a page of this moment counts before silence is checked.
    poll_fn(|cx| -> Poll<()> {
        let followed = following.as_mut().poll(cx);
        // It ends only when `following` is dropped, with this future.
        let _ = silence.as_mut().poll(cx);
        // It never ends.
        let _ = publishes.as_mut().poll(cx);
        followed
    })
    .await;
}

/// Marks the node as not ready once nothing was heard for [`BROKER_TIMEOUT`], whichever call hangs.
async fn notice_silence(
    mut hearing: watch::Receiver<tokio::time::Instant>,
    is_ready: &AtomicBool,
    metrics: &Metrics,
    health: &BrokerHealth,
) {
    loop {
        let silent_at = *hearing.borrow_and_update() + BROKER_TIMEOUT;
        let heard = match timeout_at(silent_at, hearing.changed()).await {
            Ok(heard) => heard,
            Err(_) => {
                if is_ready.swap(false, Ordering::AcqRel) {
                    metrics.broker_ready.set(0.0);
                }
                health.silent();
                hearing.changed().await
            }
        };
        if heard.is_err() {
            return;
        }
    }
}

/// Follows one tail until it fails, or until it shows that the log is not what this node holds. The node's memory is
/// then reset, and the next tail starts there.
async fn follow_once(
    broker: &dyn Broker,
    log: &Log,
    mut heard: impl FnMut(),
) -> Result<(), BrokerError> {
    let (epoch, from, _) = log.head();
    // A tail that starts beyond the log's end, or in another log, may have no way to report that.
    let bounds = in_time(broker.bounds()).await?;
    if bounds.epoch != epoch || bounds.head < from {
        reset(log, bounds.epoch, bounds.head);
        return Ok(());
    }
    let mut tail = in_time(broker.tail(from)).await?;
    let mut is_first = true;
    loop {
        let page = in_time(tail.next()).await?;
        heard();
        if !continues(log, &page, is_first) {
            reset(log, page.epoch, page.head);
            return Ok(());
        }
        is_first = false;
        take(log, page);
    }
}

/// Forgets what this node holds and goes on at the log's present end. Readers then find their positions unproven, and ask
/// the broker about them.
fn reset(log: &Log, epoch: Epoch, head: Offset) {
    let tag = (head == Offset::ZERO).then_some(0);
    wake::wake_all(log.reset(epoch, head, tag));
}

/// Whether a page continues what this node holds.
fn continues(log: &Log, page: &Page, is_first: bool) -> bool {
    let (epoch, head, tag) = log.head();
    if page.epoch != epoch || page.head < head {
        return false;
    }
    if !is_first {
        return true;
    }
    if head == Offset::ZERO {
        return page.floor == Offset::ZERO;
    }
    let anchor = page.records.first().filter(|record| record.offset == head);
    match (anchor, tag) {
        (Some(record), Some(tag)) => record.tag == tag,
        // The node was just reset to this position.
        (Some(record), None) => {
            wake::wake_all(log.learn_head_tag(record.offset, record.tag));
            true
        }
        (None, _) => false,
    }
}

fn take(log: &Log, page: Page) {
    let (epoch, head, _) = log.head();
    let now = clock::now();
    let mut frames = Vec::new();
    for record in page.records {
        if record.offset <= head {
            continue;
        }
        if record.is_damaged {
            // A damaged record has no frame. The reset makes readers from before it ask the broker, which gives them
            // the gap.
            wake::wake_all(log.append_all(std::mem::take(&mut frames), now));
            wake::wake_all(log.reset(epoch, record.offset, Some(record.tag)));
            continue;
        }
        let cursor = Cursor {
            epoch,
            offset: record.offset,
            tag: record.tag,
        };
        let draft = Draft::of_encoded(&record.event, record.conflation_key.as_deref());
        let frame = draft.into_frame(cursor, record.topic.clone(), now);
        frames.push((record.topic, frame));
    }
    if !frames.is_empty() {
        wake::wake_all(log.append_all(frames, now));
    }
}
