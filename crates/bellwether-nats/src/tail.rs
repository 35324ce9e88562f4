//! [`NatsTail`]: follows the stream with one consumer.
//!
//! A tail in doubt is not repaired. It fails, and the node opens another from the last record that it took. The doubts:
//! a broken connection, a message that is missing in the consumer's count, silence for longer than heartbeats take, a
//! stream that was replaced or is shorter than before, records that were removed before they came.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_topics::Offset;
use bellwether_topics::broker::{BrokerError, BrokerFuture, Page, Record, Tail};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use crate::api::Pull;
use crate::feed::{End, Feed, Item};
use crate::record::{self, Delivery};
use crate::settings::nanoseconds;
use crate::shared::{Shared, StreamView};

/// The interval of the server's heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest silence of the server. Less than a node waits.
const SILENCE: Duration = Duration::from_secs(3);
/// How long one pull lasts.
const PULL: Duration = Duration::from_secs(30);
/// The number of records that one pull asks for, and so the most that wait in memory.
const PULL_RECORDS: usize = 1024;
/// The same in bytes.
const PULL_BYTES: usize = 8 << 20;
/// The most messages that may be missing in one hole of a log that keeps its epoch.
const MAX_LOST: u64 = 65_536;
/// How old the stream's state may be when a page is returned.
const MAX_STATE_AGE: Duration = Duration::from_secs(1);

pub(crate) struct NatsTail {
    shared: Arc<Shared>,
    feed: Feed,
    state: StreamView,
    looked_at: Instant,
    /// The last record that came, or the offset before the first that is to come.
    last: u64,
    /// Whether the first record has come, which may be later than requested.
    has_begun: bool,
    /// The records that came and were not returned yet.
    waiting: Vec<Record>,
    /// The offset before a hole: no record after it may have been removed.
    hole_after: Option<u64>,
    /// Whether the first page, or a hole, needs a check of the stream.
    must_look: bool,
    /// Whether the next record is larger than a whole pull.
    is_stuck: bool,
    /// Whether the present pull has brought a record.
    has_brought: bool,
    heard_at: Instant,
    /// When the newest record is old enough for a marker.
    mark_at: Option<Instant>,
    marked_at: Option<Instant>,
}

impl NatsTail {
    pub(crate) async fn open(shared: &Arc<Shared>, from: Offset) -> Result<Self, BrokerError> {
        if from.high() != 0 {
            return Err(BrokerError::unavailable(
                "the offset is beyond the log's end",
            ));
        }
        let from = from.low();
        // Before the consumer, so that a missing stream is created; after it, so that both are of one stream.
        let before = shared.fetch_state().await?;
        let feed = Feed::open(&shared.link, &shared.wanted, from, None).await?;
        let state = shared.fetch_state().await?;
        if before.bounds.epoch != state.bounds.epoch {
            return Err(BrokerError::unavailable("the stream is being replaced"));
        }
        if state.bounds.head.low() < from {
            return Err(BrokerError::unavailable(
                "the log lost its end: the offset is beyond it",
            ));
        }
        shared.metrics.tails.increment(1);
        let now = Instant::now();
        let mut tail = Self {
            shared: shared.clone(),
            feed,
            state,
            looked_at: now,
            last: from.max(1) - 1,
            has_begun: false,
            waiting: Vec::new(),
            hole_after: None,
            must_look: true,
            is_stuck: false,
            has_brought: false,
            heard_at: now,
            mark_at: None,
            marked_at: None,
        };
        tail.plan_mark(Duration::ZERO);
        Ok(tail)
    }

    /// Plans a marker for the moment at which the newest record, which has this age now, has a quarter of the maximum
    /// age.
    fn plan_mark(&mut self, age: Duration) {
        let quarter = self.state.max_age / 4;
        let now = Instant::now();
        self.mark_at = (!quarter.is_zero()).then(|| {
            let due = now + quarter.saturating_sub(age);
            // Clocks that disagree must not lead to one marker after another.
            self.marked_at
                .map_or(due, |marked| due.max(marked + quarter))
        });
    }

    async fn check_stream(&mut self) -> Result<(), BrokerError> {
        let state = self.shared.fetch_state().await?;
        if state.bounds.epoch == self.state.bounds.epoch {
            let newest = self.last.max(self.state.bounds.head.low());
            if state.bounds.head.low() < newest {
                return Err(BrokerError::unavailable("the log lost its end"));
            }
            if let Some(offset) = self.hole_after
                && state.bounds.floor.low() > offset
            {
                return Err(BrokerError::unavailable(
                    "records were removed before they were read",
                ));
            }
            if let Some(offset) = self.hole_after {
                self.fill_holes(offset)?;
            }
        } else {
            // All records that came are of the old stream.
            self.waiting.clear();
        }
        self.state = state;
        self.looked_at = Instant::now();
        self.must_look = false;
        self.hole_after = None;
        Ok(())
    }

    /// Adds a damaged record for each message that is missing after this one: it was not removed, so it is lost.
    fn fill_holes(&mut self, offset: u64) -> Result<(), BrokerError> {
        let mut before = offset;
        for record in std::mem::take(&mut self.waiting) {
            let offset = record.offset.low();
            if offset > before.saturating_add(MAX_LOST) {
                return Err(BrokerError::unavailable("too many records are missing"));
            }
            while offset > before + 1 {
                before += 1;
                self.waiting.push(record::lost(before, Arc::from("")));
            }
            before = before.max(offset);
            self.waiting.push(record);
        }
        Ok(())
    }

    /// Takes an item. It does not wait, so that a dropped future loses none.
    fn take(&mut self, item: Item) -> bool {
        self.heard_at = Instant::now();
        match item {
            Item::Record(record, delivery) => {
                self.is_stuck = false;
                self.has_brought = true;
                if delivery.stream != self.last + 1 {
                    self.must_look = true;
                    if self.has_begun {
                        self.hole_after = self.hole_after.or(Some(self.last));
                    }
                }
                self.has_begun = true;
                self.last = delivery.stream;
                self.plan_mark(age(&delivery));
                self.waiting.push(record);
                false
            }
            Item::Beat => true,
            Item::End(end) => {
                self.is_stuck = end == End::Full && !self.has_brought;
                false
            }
        }
    }

    fn page(&mut self) -> Page {
        let records = std::mem::take(&mut self.waiting);
        let bounds = self.state.bounds;
        let head = records.last().map_or(Offset::ZERO, |last| last.offset);
        let bytes = records.iter().map(|record| record.event.len() as u64);
        self.shared.metrics.tail_bytes.increment(bytes.sum());
        self.shared
            .metrics
            .tail_records
            .increment(records.len() as u64);
        self.shared.note_record(bounds.epoch, head.low());
        if let (Some(first), false) = (records.first(), records.iter().any(|r| r.is_damaged)) {
            let before = first.offset.low().saturating_sub(1);
            self.shared.passed(bounds.epoch, before, head.low());
        }
        Page {
            epoch: bounds.epoch,
            floor: bounds.floor,
            head: bounds.head.max(head),
            records,
            trimmed: None,
        }
    }

    async fn next_page(&mut self) -> Result<Page, BrokerError> {
        loop {
            if !self.feed.is_pulling() {
                self.pull().await?;
            }
            // All items that have come go into one page.
            while self.waiting.len() < PULL_RECORDS
                && self.feed.is_pulling()
                && let Some(item) = self.feed.next().now_or_never()
            {
                self.take(item?);
            }
            if !self.waiting.is_empty() {
                if self.must_look || self.looked_at.elapsed() >= MAX_STATE_AGE {
                    self.check_stream().await?;
                }
                return Ok(self.page());
            }
            if !self.feed.is_pulling() {
                continue;
            }
            let item = timeout_at(self.heard_at + SILENCE, self.feed.next()).await;
            let item = item.map_err(|_| {
                BrokerError::unavailable(format!("NATS has been silent for {SILENCE:?}"))
            })?;
            if self.take(item?) {
                self.check_stream().await?;
                self.mark_if_due().await?;
                return Ok(self.page());
            }
        }
    }

    async fn pull(&mut self) -> Result<(), BrokerError> {
        // A record that is larger than any pull comes alone, in a pull without a bound.
        let (batch, max_bytes) = match self.is_stuck {
            true => (1, 0),
            false => (PULL_RECORDS, PULL_BYTES),
        };
        let pull = Pull {
            batch,
            max_bytes,
            expires: in_nanoseconds(PULL),
            idle_heartbeat: in_nanoseconds(HEARTBEAT),
            no_wait: false,
        };
        self.feed.pull(pull).await?;
        self.has_brought = false;
        Ok(())
    }

    async fn mark_if_due(&mut self) -> Result<(), BrokerError> {
        if self.mark_at.is_some_and(|due| Instant::now() >= due)
            && self.state.bounds.head != Offset::ZERO
        {
            self.shared.mark(self.state.bounds).await?;
            self.marked_at = Some(Instant::now());
            self.plan_mark(Duration::ZERO);
        }
        Ok(())
    }
}

fn in_nanoseconds(duration: Duration) -> usize {
    usize::try_from(nanoseconds(duration)).unwrap_or(usize::MAX)
}

/// The age of a record by the server's clock and ours; zero if ours is behind.
fn age(delivery: &Delivery) -> Duration {
    let stored_at = UNIX_EPOCH + Duration::from_nanos(delivery.stored_at);
    SystemTime::now()
        .duration_since(stored_at)
        .unwrap_or_default()
}

impl Tail for NatsTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(self.next_page())
    }
}
