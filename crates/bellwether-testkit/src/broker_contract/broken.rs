//! Brokers that break one promise each, and the check that the suite notices every one of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Epoch, Offset};

use super::BrokerFactory;

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    SwapsRecords,
    DropsRecords,
    ChangesTags,
    ForgetsKeys,
    MixesTopicsKeys,
    InventsIds,
    PagesWithoutAnchor,
    PagesMissRecords,
    TailRepeats,
    TailWithoutAnchor,
    NoHeartbeat,
    WrongFloor,
    HidesLosses,
    MakesUpTags,
    SharedEpoch,
    WorksAfterShutdown,
}

const FAULTS: [Fault; 16] = [
    Fault::SwapsRecords,
    Fault::DropsRecords,
    Fault::ChangesTags,
    Fault::ForgetsKeys,
    Fault::MixesTopicsKeys,
    Fault::InventsIds,
    Fault::PagesWithoutAnchor,
    Fault::PagesMissRecords,
    Fault::TailRepeats,
    Fault::TailWithoutAnchor,
    Fault::NoHeartbeat,
    Fault::WrongFloor,
    Fault::HidesLosses,
    Fault::MakesUpTags,
    Fault::SharedEpoch,
    Fault::WorksAfterShutdown,
];

/// A good broker with one fault.
#[derive(Debug)]
struct Broken<B> {
    good: B,
    fault: Fault,
    appends: AtomicU64,
}

struct Factory<F> {
    make: F,
    fault: Fault,
}

impl<B, F> BrokerFactory for Factory<F>
where
    B: Broker + Trim,
    F: Fn() -> B,
{
    type Broker = Broken<B>;

    async fn open(&self) -> Arc<Broken<B>> {
        Arc::new(Broken {
            good: (self.make)(),
            fault: self.fault,
            appends: AtomicU64::new(0),
        })
    }

    async fn reopen(&self, _: Arc<Broken<B>>) -> Option<Arc<Broken<B>>> {
        None
    }

    async fn trim(&self, broker: &Broken<B>, keep: usize) -> bool {
        broker.good.trim(keep);
        true
    }
}

/// A broker that can be made to forget its oldest records at once.
pub trait Trim {
    /// Removes all but the newest records.
    fn trim(&self, keep: usize);
}

impl Trim for bellwether_topics::Memory {
    fn trim(&self, keep: usize) {
        self.trim_to(keep);
    }
}

impl<B: Broker> Broker for Broken<B> {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        Box::pin(async move {
            let mut records = records.to_vec();
            let count = self.appends.fetch_add(1, Ordering::Relaxed);
            match self.fault {
                Fault::SwapsRecords if records.len() > 1 => records.swap(0, 1),
                Fault::ChangesTags => records.iter_mut().for_each(|record| record.tag ^= 1),
                Fault::ForgetsKeys => {
                    records
                        .iter_mut()
                        .for_each(|record| record.idempotency_key = None);
                }
                Fault::MixesTopicsKeys => {
                    for record in records.iter_mut().filter(|r| r.idempotency_key.is_some()) {
                        record.topic = Arc::from("t");
                    }
                }
                Fault::DropsRecords if count % 2 == 1 => {
                    // Confirms what it has not stored.
                    let bounds = self.good.bounds().await?;
                    let confirm = |record: &NewRecord| {
                        Ok(Stored {
                            cursor: bellwether_topics::Cursor {
                                epoch: bounds.epoch,
                                offset: bounds.head,
                                tag: record.tag,
                            },
                            is_duplicate: false,
                        })
                    };
                    return Ok(records.iter().map(confirm).collect());
                }
                _ => {}
            }
            let mut stored = self.good.append(&records).await?;
            if self.fault == Fault::InventsIds {
                let floor = self.good.bounds().await?.floor;
                let known = stored.iter_mut().flatten().filter(|s| s.is_duplicate);
                for stored in known.filter(|s| s.cursor.offset <= floor) {
                    stored.cursor.tag ^= 1;
                }
            }
            if self.fault == Fault::SharedEpoch {
                for stored in stored.iter_mut().flatten() {
                    stored.cursor.epoch = Epoch(1);
                }
            }
            Ok(stored)
        })
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(async move {
            let mut page = self.good.read(request).await?;
            match self.fault {
                Fault::PagesWithoutAnchor => {
                    page.records.retain(|record| record.offset > request.from);
                }
                Fault::PagesMissRecords if page.records.len() > 3 => {
                    page.records.remove(2);
                }
                Fault::WrongFloor => page.floor = Offset::ZERO,
                Fault::HidesLosses => {
                    if let Some(trimmed) = &mut page.trimmed {
                        trimmed.to = Offset::ZERO;
                    }
                }
                Fault::MakesUpTags => {
                    if let Some(tag) = page.trimmed.as_mut().and_then(|t| t.tag.as_mut()) {
                        *tag ^= 1;
                    }
                }
                Fault::SharedEpoch => page.epoch = Epoch(1),
                _ => {}
            }
            Ok(page)
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            let good = self.good.tail(from).await?;
            let tail: Box<dyn Tail> = Box::new(BrokenTail {
                good,
                from,
                fault: self.fault,
                last: None,
            });
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(async move {
            let mut bounds = self.good.bounds().await?;
            if self.fault == Fault::SharedEpoch {
                bounds.epoch = Epoch(1);
            }
            Ok(bounds)
        })
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        match self.fault {
            Fault::WorksAfterShutdown => Box::pin(async { Ok(()) }),
            _ => self.good.shutdown(),
        }
    }
}

struct BrokenTail {
    good: Box<dyn Tail>,
    from: Offset,
    fault: Fault,
    last: Option<bellwether_topics::broker::Record>,
}

impl Tail for BrokenTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(async move {
            loop {
                let mut page = self.good.next().await?;
                if self.fault == Fault::NoHeartbeat && page.records.is_empty() {
                    continue;
                }
                if self.fault == Fault::TailWithoutAnchor {
                    page.records.retain(|record| record.offset > self.from);
                }
                if self.fault == Fault::TailRepeats
                    && !page.records.is_empty()
                    && let Some(last) = self.last.take()
                {
                    page.records.insert(0, last);
                }
                self.last = page.records.last().cloned();
                return Ok(page);
            }
        })
    }
}

/// Runs the suite against brokers with one fault each, made from a good one, and panics if any gets through.
///
/// The panics of the promises that were found broken are printed on the way.
pub async fn notices_broken_brokers<B, F>(make: F)
where
    B: Broker + Trim,
    F: Fn() -> B + Clone + Send + Sync + 'static,
{
    for fault in FAULTS {
        let factory = Factory {
            make: make.clone(),
            fault,
        };
        assert!(
            is_noticed(&factory).await,
            "the suite did not notice: {fault:?}"
        );
    }
}

/// Whether any promise panics. Those that end soonest come first.
async fn is_noticed<F: BrokerFactory>(factory: &F) -> bool {
    type Promise<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    let promises: [Promise<'_>; 11] = [
        Box::pin(super::appended_records_come_back_unchanged_and_in_order(
            factory,
        )),
        Box::pin(super::an_idempotency_key_appends_once(factory)),
        Box::pin(super::a_known_key_gives_the_first_id_after_its_record_was_trimmed(factory)),
        Box::pin(super::each_log_has_an_epoch_of_its_own(factory)),
        Box::pin(super::only_the_front_is_trimmed_and_the_floor_tells(
            factory,
        )),
        Box::pin(super::what_a_topic_has_lost_is_never_told_too_small(
            factory,
        )),
        Box::pin(super::after_shutdown_every_call_fails(factory)),
        Box::pin(super::a_page_starts_at_its_anchor_and_pages_join_without_seam(factory)),
        Box::pin(super::a_page_of_some_topics_misses_none_of_theirs(factory)),
        Box::pin(super::a_tail_starts_at_its_anchor_and_follows(factory)),
        Box::pin(super::a_quiet_tail_beats(factory)),
    ];
    for promise in promises {
        if panics(promise).await {
            return true;
        }
    }
    false
}

/// Polls a future to its end or to its panic.
async fn panics(mut future: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Poll;

    std::future::poll_fn(|cx| {
        // The future is never polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}
