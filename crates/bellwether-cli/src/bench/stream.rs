//! One measured stream, and the thread that runs its share of them.

use std::sync::{Arc, Mutex};

use bellwether_client::{EventSource, Item, Message};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::counting::Counting;
use super::sequence::Sequence;
use super::tally::Tally;
use super::{lock, stamp};
use crate::clock;
use crate::exit;
use crate::target::Target;

/// What the run is about at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BenchPhase {
    /// Streams are being opened; latency does not count yet.
    Connecting,
    Measuring,
    Over,
}

/// What all streams of a thread share.
#[derive(Clone)]
pub(super) struct ThreadShared {
    pub(super) target: Target,
    pub(super) url: String,
    pub(super) transport: Counting,
    pub(super) phase: watch::Receiver<BenchPhase>,
    /// Guards the counters of this thread; only the looks at the progress come from outside.
    pub(super) tally: Arc<Mutex<Tally>>,
}

/// Runs this many streams until the phase is over, with this many unanswered requests at once.
pub(super) fn run_all(shared: &ThreadShared, streams: usize, at_once: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let mut tally = lock(&shared.tally);
            tally.settled += streams as u64;
            tally.ended += streams as u64;
            tally.first_failure = Some(format!("cannot start: {error}"));
            return;
        }
    };
    let connecting = Arc::new(Semaphore::new(at_once));
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            tasks.spawn(run(shared.clone(), Arc::clone(&connecting)));
        }
        while tasks.join_next().await.is_some() {}
    });
}

/// Runs one stream.
async fn run(shared: ThreadShared, connecting: Arc<Semaphore>) {
    let source = shared.target.source(&shared.url);
    // The arguments have been tried before any thread was started.
    let Ok(source) = source.transport(shared.transport.clone()).build() else {
        return;
    };
    let mut stream = MeasuredStream {
        source,
        sequence: Sequence::default(),
        last_id: String::new(),
        is_open: false,
        is_settled: false,
    };
    let mut phase = shared.phase.clone();
    tokio::select! {
        () = stream.follow(&shared, &connecting) => {}
        // An error means that the sender is gone, which is an end too.
        _ = phase.wait_for(|phase| *phase == BenchPhase::Over) => {}
    }
    lock(&shared.tally).add_order(stream.sequence.counts());
}

struct MeasuredStream {
    source: EventSource,
    sequence: Sequence,
    last_id: String,
    /// Has been open before.
    is_open: bool,
    is_settled: bool,
}

impl MeasuredStream {
    async fn follow(&mut self, shared: &ThreadShared, connecting: &Semaphore) {
        // Held until the first answer; the semaphore is never closed.
        let mut permit = connecting.acquire().await.ok();
        while let Some(item) = self.source.next().await {
            // A server that sends without pause must not keep this thread from its other streams.
            tokio::task::consume_budget().await;
            let mut tally = lock(&shared.tally);
            match item {
                Ok(Item::Message(message)) => {
                    let is_measuring = *shared.phase.borrow() == BenchPhase::Measuring;
                    self.count(&mut tally, &message, is_measuring);
                    continue;
                }
                Ok(Item::Open(_)) => {
                    if !self.is_open {
                        tally.opened += 1;
                        self.is_open = true;
                    }
                }
                Ok(Item::Waiting(waiting)) => {
                    tally.retries += 1;
                    if let Some(error) = &waiting.cause {
                        let failure = || exit::with_causes(error);
                        tally.first_failure.get_or_insert_with(failure);
                    }
                }
                Ok(_) => continue,
                Err(error) => {
                    tally.ended += 1;
                    tally.is_refused = true;
                    let failure = || exit::with_causes(&error);
                    tally.first_failure.get_or_insert_with(failure);
                }
            }
            if !self.is_settled {
                self.is_settled = true;
                tally.settled += 1;
            }
            permit = None;
        }
        drop(permit);
    }

    fn count(&mut self, tally: &mut Tally, message: &Message, is_measuring: bool) {
        tally.events += 1;
        let id = message.last_event_id.as_str();
        let has_own_id = id != self.last_id;
        let stamp = stamp::read(&message.data, id, has_own_id);
        if let Some(sent) = stamp.sent.filter(|_| is_measuring) {
            let latency = clock::now().saturating_sub(sent).as_micros();
            tally.record_latency(u64::try_from(latency).unwrap_or(u64::MAX));
        }
        if let Some(number) = stamp.number {
            tally.by.get_or_insert(number.source);
            self.sequence.observe(number.run, number.number);
        }
        if has_own_id {
            id.clone_into(&mut self.last_id);
        }
    }
}
