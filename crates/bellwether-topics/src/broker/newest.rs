//! Lookups of the newest records for many readers at once: whether their topics have anything that they have not seen.
//!
//! One task takes what has collected and asks the broker about all of it in one call, while the next batch collects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::broker::Broker;
use crate::broker::catch_up::in_time;
use crate::event::cursor::{Epoch, Offset};

/// The most topics of one call, as the contract says.
const MAX_BATCH: usize = 128;
/// Further readers wait until there is room.
const MAX_WAITING: usize = 1024;

/// What the broker answered about one topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewestSeen {
    pub(crate) epoch: Epoch,
    pub(crate) head: Offset,
    /// Offset and tag of the topic's newest record.
    pub(crate) newest: (Offset, u32),
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct NewestLookup {
    topic: Arc<str>,
    answer: oneshot::Sender<NewestSeen>,
}

/// The queue of the lookups. A clone is another handle to it.
#[derive(Clone, Debug)]
pub(crate) struct NewestLookups {
    queue: mpsc::Sender<NewestLookup>,
    /// False once the broker has said that it does not answer such lookups.
    is_answered: Arc<AtomicBool>,
}

impl NewestLookups {
    /// Starts the task, which ends when the last handle is dropped.
    pub(crate) fn start(broker: Arc<dyn Broker>) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let is_answered = Arc::new(AtomicBool::new(true));
        tokio::spawn(answer_lookups(broker, waiting, is_answered.clone()));
        Self { queue, is_answered }
    }

    /// The newest record of a topic; `None` if the broker does not know it, so that the reader must read a page.
    pub(crate) async fn newest_of(&self, topic: &Arc<str>) -> Option<NewestSeen> {
        if !self.is_answered.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, seen) = oneshot::channel();
        let topic = topic.clone();
        self.queue.send(NewestLookup { topic, answer }).await.ok()?;
        seen.await.ok()
    }
}

async fn answer_lookups(
    broker: Arc<dyn Broker>,
    mut waiting: mpsc::Receiver<NewestLookup>,
    is_answered: Arc<AtomicBool>,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        // Some readers have left meanwhile.
        batch.retain(|lookup| !lookup.answer.is_closed());
        let topics: Vec<Arc<str>> = batch.iter().map(|lookup| lookup.topic.clone()).collect();
        // Without an answer each reader reads a page, and meets the failure there.
        let newest = match in_time(broker.newest(&topics)).await {
            Ok(Some(newest)) => newest,
            Ok(None) => {
                is_answered.store(false, Ordering::Relaxed);
                batch.clear();
                continue;
            }
            Err(_) => {
                batch.clear();
                continue;
            }
        };
        for (lookup, record) in batch.drain(..).zip(newest.records) {
            if let Some(record) = record {
                let _ = lookup.answer.send(NewestSeen {
                    epoch: newest.epoch,
                    head: newest.head,
                    newest: record,
                });
            }
        }
    }
}
