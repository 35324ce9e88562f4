//! A good broker with one fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
    Trimmed,
};
use bellwether_topics::{Epoch, Offset};
use bytes::Bytes;

use super::Fault;

/// A clone is another handle to the same log.
#[derive(Debug)]
pub(super) struct Broken<B> {
    pub(super) good: Arc<B>,
    fault: Fault,
    appends: Arc<AtomicU64>,
    is_disturbed: Arc<AtomicBool>,
    /// Guards the offset of the damaged record; never held across an `.await`.
    damaged: Arc<Mutex<Option<Offset>>>,
}

impl<B> Clone for Broken<B> {
    fn clone(&self) -> Self {
        Self {
            good: self.good.clone(),
            fault: self.fault,
            appends: self.appends.clone(),
            is_disturbed: self.is_disturbed.clone(),
            damaged: self.damaged.clone(),
        }
    }
}

impl<B: Broker> Broken<B> {
    pub(super) fn new(good: B, fault: Fault) -> Self {
        Self {
            good: Arc::new(good),
            fault,
            appends: Arc::default(),
            is_disturbed: Arc::default(),
            damaged: Arc::default(),
        }
    }

    pub(super) fn disturb(&self) {
        self.is_disturbed.store(true, Ordering::Relaxed);
    }

    pub(super) fn damage(&self, at: Offset) {
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn epoch(&self, epoch: Epoch) -> Epoch {
        let is_another =
            self.fault == Fault::ReactsToOtherPrograms && self.is_disturbed.load(Ordering::Relaxed);
        match is_another {
            true => Epoch(epoch.0 ^ 1),
            false => epoch,
        }
    }

    /// Changes a page as other programs and damage do.
    fn apply_fault(&self, page: &mut Page) -> Result<(), BrokerError> {
        page.epoch = self.epoch(page.epoch);
        let damaged = *self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = page
            .records
            .iter()
            .position(|record| Some(record.offset) == damaged)
        else {
            return Ok(());
        };
        match self.fault {
            Fault::FailsAtDamage => return Err(BrokerError::unavailable("a record is damaged")),
            Fault::SkipsDamage => drop(page.records.remove(at)),
            fault => {
                let record = &mut page.records[at];
                record.is_damaged = fault != Fault::HandsOutDamage;
                record.event = Bytes::from_static(b"data: 99\n\n");
            }
        }
        Ok(())
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
            let appended = self.good.append(&records).await;
            let mut stored = match (appended, self.fault) {
                (Err(error), Fault::BlamesTheCaller) => {
                    return Err(BrokerError::refused(error.to_string()));
                }
                (appended, _) => appended?,
            };
            for stored in stored.iter_mut().flatten() {
                stored.cursor.epoch = self.epoch(stored.cursor.epoch);
            }
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
            let is_of_topics = request.topics.is_some();
            let asked = match self.fault {
                Fault::IgnoresMaxRecords => ReadRequest {
                    max_records: usize::MAX,
                    ..request
                },
                Fault::IgnoresMaxBytes => ReadRequest {
                    max_bytes: usize::MAX,
                    ..request
                },
                _ => request,
            };
            let mut page = self.good.read(asked).await?;
            self.apply_fault(&mut page)?;
            match self.fault {
                Fault::StaleHead if is_of_topics => {
                    page.head = Offset::new(page.head.low().saturating_sub(1));
                }
                Fault::FalseGaps => {
                    let floor = page.floor;
                    page.trimmed = page.trimmed.map(|_| Trimmed {
                        to: floor,
                        tag: None,
                    });
                }
                Fault::EmptyBehindGap
                    if request.from != Offset::ZERO && request.from <= page.floor =>
                {
                    page.records.clear();
                }
                Fault::ForgetsTheStart if request.from == Offset::ZERO => {
                    page.floor = Offset::ZERO;
                    page.trimmed = Some(Trimmed {
                        to: Offset::ZERO,
                        tag: None,
                    });
                }
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
                Fault::InventsTags => {
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

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(async move {
            let Some(mut newest) = self.good.newest(topics).await? else {
                return Ok(None);
            };
            newest.epoch = self.epoch(newest.epoch);
            match self.fault {
                Fault::SharedEpoch => newest.epoch = Epoch(1),
                Fault::StaleHead => {
                    newest.head = Offset::new(newest.head.low().saturating_sub(1));
                }
                Fault::StaleTopics => {
                    for (topic, record) in topics.iter().zip(&mut newest.records) {
                        let request = ReadRequest {
                            from: Offset::ZERO,
                            topics: Some(std::slice::from_ref(topic)),
                            max_records: 1,
                            max_bytes: usize::MAX,
                        };
                        let page = self.good.read(request).await?;
                        let first = page.records.first();
                        *record = first.map(|record| (record.offset, record.tag));
                    }
                }
                _ => {}
            }
            Ok(Some(newest))
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            let good = self.good.tail(from).await?;
            let tail: Box<dyn Tail> = Box::new(BrokenTail {
                good,
                from,
                broker: self.clone(),
                last: None,
            });
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(async move {
            let mut bounds = self.good.bounds().await?;
            bounds.epoch = self.epoch(bounds.epoch);
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

struct BrokenTail<B> {
    good: Box<dyn Tail>,
    from: Offset,
    broker: Broken<B>,
    last: Option<bellwether_topics::broker::Record>,
}

impl<B: Broker> Tail for BrokenTail<B> {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(async move {
            loop {
                let mut page = self.good.next().await?;
                self.broker.apply_fault(&mut page)?;
                let fault = self.broker.fault;
                while fault == Fault::TailInOnePiece && !page.records.is_empty() {
                    let more = self.good.next().await?;
                    if more.records.is_empty() {
                        break;
                    }
                    page.records.extend(more.records);
                }
                if fault == Fault::NoHeartbeat && page.records.is_empty() {
                    continue;
                }
                if fault == Fault::TailWithoutAnchor {
                    page.records.retain(|record| record.offset > self.from);
                }
                if fault == Fault::TailRepeats
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
