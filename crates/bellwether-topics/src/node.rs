//! [`Node`]: what all handles and subscriptions of one log share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::broker::newest::NewestLookups;
use crate::broker::sync::PendingPublish;
use crate::config::Config;
use crate::lock::Mutex;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::presence::Registrations;

/// A log, its settings, its subscribers, and the tasks that talk to a broker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) log: Arc<Log>,
    pub(crate) config: Config,
    pub(crate) registrations: Registrations,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) remote: Option<Remote>,
}

/// The part of a node that talks to a broker.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) broker: Arc<dyn Broker>,
    /// The queue of the task that appends. Taken on close, so that the task finishes its work and ends. The lock guards
    /// only that.
    pub(crate) publishes: Mutex<Option<mpsc::Sender<PendingPublish>>>,
    pub(crate) catch_up_reads: Arc<Semaphore>,
    pub(crate) lookups: NewestLookups,
    pub(crate) is_ready: Arc<AtomicBool>,
    pub(crate) appender: Mutex<Option<JoinHandle<()>>>,
    pub(crate) follower: JoinHandle<()>,
}

impl Drop for Remote {
    /// The task that appends ends once its queue is empty, since the sender is dropped with this.
    fn drop(&mut self) {
        self.follower.abort();
    }
}
