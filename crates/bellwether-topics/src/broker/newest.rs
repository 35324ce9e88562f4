//! The lookups of many readers at once: whether their topics have anything newer than what they saw.
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
/// Readers beyond these wait until there is room.
const MAX_WAITING: usize = 1024;

/// What the broker said of one topic.
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

/// Where readers ask.
#[derive(Clone, Debug)]
pub(crate) struct NewestLookups {
    queue: mpsc::Sender<NewestLookup>,
    /// Whether the broker has answered such a question, as far as that is known.
    is_answered: Arc<AtomicBool>,
}

impl NewestLookups {
    /// Starts the task, which ends when all of these are gone.
    pub(crate) fn start(broker: Arc<dyn Broker>) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let is_answered = Arc::new(AtomicBool::new(true));
        tokio::spawn(look_all(broker, waiting, is_answered.clone()));
        Self { queue, is_answered }
    }

    /// The newest record of a topic; `None` if the broker does not say, and a page has to be read.
    pub(crate) async fn look(&self, topic: &Arc<str>) -> Option<NewestSeen> {
        if !self.is_answered.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, seen) = oneshot::channel();
        let topic = topic.clone();
        self.queue.send(NewestLookup { topic, answer }).await.ok()?;
        seen.await.ok()
    }
}

async fn look_all(
    broker: Arc<dyn Broker>,
    mut waiting: mpsc::Receiver<NewestLookup>,
    is_answered: Arc<AtomicBool>,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        // A reader that has gone does not want to know.
        batch.retain(|look| !look.answer.is_closed());
        let topics: Vec<Arc<str>> = batch.iter().map(|look| look.topic.clone()).collect();
        // Without an answer each reads a page, and finds out there what is wrong.
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
        for (look, record) in batch.drain(..).zip(newest.records) {
            if let Some(record) = record {
                let _ = look.answer.send(NewestSeen {
                    epoch: newest.epoch,
                    head: newest.head,
                    newest: record,
                });
            }
        }
    }
}
