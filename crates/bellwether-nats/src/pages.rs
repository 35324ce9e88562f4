//! Reading pages, for readers that are older than a node's memory.
//!
//! A reader comes back for the next page from the end of the last one, so its consumer is kept for some seconds and
//! goes on from there: a long replay costs one consumer, not one per page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bellwether_topics::broker::{BrokerError, Page, ReadRequest, Record};
use bellwether_topics::{Epoch, Offset};

use crate::api::{ApiError, Fault, Pull};
use crate::feed::{End, Feed, Item};
use crate::record;
use crate::shared::{MAX_RETRIES, RETRY_PAUSE, Shared, StreamView};

/// The most consumers that are kept: as many as readers that a node lets read at once by default.
const MAX_IDLE: usize = 64;
/// How long a consumer is kept; the server keeps it longer.
const MAX_IDLE_TIME: Duration = Duration::from_secs(10);

/// The consumers of readers that may come back.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// Guards the list, oldest first.
    readers: Mutex<Vec<Reader>>,
}

/// A consumer and the offset that it has reached.
#[derive(Debug)]
struct Reader {
    feed: Feed,
    epoch: Epoch,
    topics: Option<Vec<Arc<str>>>,
    /// The record at that offset, unless the consumer has yet to deliver it.
    anchor: Option<Record>,
    left_at: Instant,
}

impl Idle {
    fn take(&self, request: &ReadRequest<'_>, epoch: Epoch) -> Option<Reader> {
        let now = Instant::now();
        let mut readers = self.lock();
        readers.retain(|reader| now - reader.left_at < MAX_IDLE_TIME && reader.feed.is_current());
        let at = readers
            .iter()
            .position(|reader| reader.epoch == epoch && reader.is_at(request))?;
        Some(readers.remove(at))
    }

    fn put(&self, reader: Reader) {
        let mut readers = self.lock();
        if readers.len() >= MAX_IDLE {
            readers.remove(0);
        }
        readers.push(reader);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// A panic while the lock is held leaves the list consistent.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn is_at(&self, request: &ReadRequest<'_>) -> bool {
        let offset = self.anchor.as_ref().map(|anchor| anchor.offset);
        offset == Some(request.from) && self.topics.as_deref() == request.topics
    }

    async fn open(
        shared: &Shared,
        request: &ReadRequest<'_>,
        epoch: Epoch,
    ) -> Result<Self, ApiError> {
        let from = request.from.low();
        let (link, names) = (&shared.link, &shared.wanted);
        let (feed, anchor) = match request.topics {
            // The first delivery is the anchor.
            None => (Feed::open(link, names, from, None).await?, None),
            // The anchor may be of another topic. Numbers of a filtered stream have holes, but starting after the
            // anchor rather than at it skips nothing.
            Some(topics) => {
                let anchor = async {
                    match from {
                        0 => Ok(None),
                        _ => shared.get(from).await,
                    }
                };
                let feed = Feed::open(link, names, from.saturating_add(1), Some(topics));
                let (feed, anchor) = tokio::try_join!(feed, anchor)?;
                (feed, anchor.map(|m| record::of_raw(&m, shared.prefix())))
            }
        };
        Ok(Self {
            feed,
            epoch,
            topics: request.topics.map(<[_]>::to_vec),
            anchor,
            left_at: Instant::now(),
        })
    }

    /// The anchor and what comes after it, within the bounds of the request.
    async fn page(&mut self, request: &ReadRequest<'_>) -> Result<Vec<Record>, BrokerError> {
        let mut records: Vec<_> = self.anchor.take().into_iter().collect();
        let mut batch = request.max_records.saturating_sub(records.len()).max(1);
        // Not the same bound each time, so that the next pull goes on even if the server counts bytes in another way.
        let mut max_bytes = request.max_bytes.max(1) + fastrand::usize(..16);
        loop {
            let pull = Pull {
                batch,
                max_bytes,
                expires: 0,
                idle_heartbeat: 0,
                no_wait: true,
            };
            self.feed.pull(pull).await?;
            let is_over = self.take_pull(&mut records).await?;
            let has_moved = records
                .last()
                .is_some_and(|last| last.offset > request.from);
            if is_over || has_moved {
                return Ok(records);
            }
            // Only the anchor came, or nothing that fits: the page has the first record after it in any case.
            (batch, max_bytes) = (1, 0);
        }
    }

    /// Takes what one pull brings. Returns whether there is nothing more to pull.
    async fn take_pull(&mut self, records: &mut Vec<Record>) -> Result<bool, BrokerError> {
        while self.feed.is_pulling() {
            match self.feed.next().await? {
                Item::Record(record, delivery) => {
                    records.push(record);
                    if delivery.pending == 0 {
                        return Ok(true);
                    }
                }
                Item::Beat => {}
                Item::End(end) => return Ok(end == End::Quiet),
            }
        }
        Ok(false)
    }
}

impl Shared {
    /// Reads a page, as the contract says.
    pub(crate) async fn read(&self, request: ReadRequest<'_>) -> Result<Page, BrokerError> {
        let started = Instant::now();
        let mut page = self.read_once(request).await?;
        self.with_lost(&mut page, &request).await?;
        // In a cluster a server that no longer leads may respond for a moment. A position between the ends without a
        // record would then count as lost.
        for _ in 0..MAX_RETRIES {
            let is_between = page.floor < request.from && request.from <= page.head;
            let anchor = page.records.first().map(|record| record.offset);
            if !is_between || anchor == Some(request.from) {
                break;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            page = self.read_once(request).await?;
            self.with_lost(&mut page, &request).await?;
        }
        self.metrics.read_seconds.record(started.elapsed());
        self.metrics
            .read_records
            .increment(page.records.len() as u64);
        let bytes = page.records.iter().map(|record| record.event.len() as u64);
        self.metrics.read_bytes.increment(bytes.sum());
        Ok(page)
    }

    async fn read_once(&self, request: ReadRequest<'_>) -> Result<Page, BrokerError> {
        if request.from.high() != 0 {
            // Such an offset is none of this log, and beyond all of its own.
            return Ok(page_of(self.fetch_state().await?, Vec::new()));
        }
        let epoch = self.known().epoch;
        if let Some(mut reader) = self.idle.take(&request, epoch)
            && let Ok(records) = reader.page(&request).await
        {
            return self.finish(reader, records).await;
        }
        match self.read_one_by_one(&request).await {
            Ok(Some(records)) => return self.checked(epoch, records).await,
            Ok(None) => {}
            Err(error) if error.is_fault(Fault::STREAM_NOT_FOUND) => {
                return Ok(page_of(self.fetch_state().await?, Vec::new()));
            }
            Err(error) => return Err(error.into()),
        }
        let mut reader = match Reader::open(self, &request, epoch).await {
            Ok(reader) => reader,
            Err(error) if error.is_fault(Fault::STREAM_NOT_FOUND) => {
                return Ok(page_of(self.fetch_state().await?, Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        let records = reader.page(&request).await?;
        self.finish(reader, records).await
    }

    /// Keeps a consumer for the next page of its reader.
    async fn finish(&self, mut reader: Reader, records: Vec<Record>) -> Result<Page, BrokerError> {
        let last = records.last().cloned();
        let page = self.checked(reader.epoch, records).await?;
        if last.is_some() {
            reader.anchor = last;
            reader.left_at = Instant::now();
            self.idle.put(reader);
        }
        Ok(page)
    }

    /// Adds the stream's state to a page. The state is read after the records came.
    async fn checked(&self, epoch: Epoch, mut records: Vec<Record>) -> Result<Page, BrokerError> {
        let state = self.fetch_state().await?;
        if state.bounds.epoch != epoch {
            return Err(BrokerError::unavailable(
                "the stream was replaced while it was read",
            ));
        }
        // Records after the ones removed by now may have been removed before they were delivered. Without its anchor
        // the page shows that it starts later.
        records.retain(|record| record.offset > state.bounds.floor);
        Ok(page_of(state, records))
    }
}

fn page_of(state: StreamView, records: Vec<Record>) -> Page {
    let last = records.last().map_or(Offset::ZERO, |last| last.offset);
    Page {
        epoch: state.bounds.epoch,
        floor: state.bounds.floor,
        head: state.bounds.head.max(last),
        records,
        trimmed: None,
    }
}
