//! [`Swept`]: which messages the server has lost from the middle of the stream.
//!
//! A server that finds a message's checksum wrong leaves the message out, reports nothing and still counts it. The
//! numbers of one topic's messages have holes anyway, so the reader of a topic cannot see that. A node therefore sweeps
//! over the numbers of all messages once, without their content, as far as its readers need them, and remembers the
//! holes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_topics::Epoch;
use bellwether_topics::broker::{Bounds, BrokerError, Page, ReadRequest};

use crate::api::Pull;
use crate::feed::{End, Feed, Item};
use crate::record;
use crate::shared::Shared;

/// The number of messages that are requested at once.
const BATCH: usize = 4096;
/// How far one sweep goes towards the start, so that a call that takes too long has not worked in vain.
const STEP: u64 = 32_768;
/// How long the consumer that has reached the end is kept; the server keeps it twice as long.
const MAX_IDLE_TIME: Duration = Duration::from_secs(1);
/// The most damaged records in one page.
const MAX_LOST_PER_PAGE: usize = 1024;
/// How long a consumer that lags behind its stream is left alone.
const CONSUMER_PAUSE: Duration = Duration::from_millis(5);
/// The most messages that are requested one by one, to tell a consumer that lags from messages that are lost.
const MAX_CHECKED: usize = 16;
/// The most holes of a log that are logged.
const MAX_LOGGED: usize = 1024;

/// The part of a stream that was swept.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    epoch: Option<Epoch>,
    /// The numbers after `low`, up to `high`, are known.
    low: u64,
    high: u64,
    /// The holes: the first number of each, and the last.
    holes: BTreeMap<u64, u64>,
    /// The consumer that has reached the end, and when: many readers at once each need a little more.
    feed: Option<(Feed, Instant)>,
}

impl Swept {
    fn take_feed(&mut self) -> Option<Feed> {
        let (feed, used_at) = self.feed.take()?;
        (used_at.elapsed() < MAX_IDLE_TIME && feed.is_current()).then_some(feed)
    }

    /// Adds a hole. Returns whether it was not known.
    fn add(&mut self, first: u64, last: u64) -> bool {
        first <= last && self.holes.insert(first, last).is_none()
    }

    /// The missing numbers after one, up to another; at most `max`.
    fn missing(&self, after: u64, to: u64, max: usize) -> Vec<u64> {
        let holes = self.holes.range(..=to);
        let numbers = holes.flat_map(|(first, last)| (*first).max(after + 1)..=(*last).min(to));
        numbers.take(max).collect()
    }
}

impl Shared {
    /// Adds a damaged record for each message that the server has lost from a page's part of the stream. Its topic is
    /// not known, so the readers of any topic get a gap.
    pub(crate) async fn with_lost(
        &self,
        page: &mut Page,
        request: &ReadRequest<'_>,
    ) -> Result<(), BrokerError> {
        if request.from.high() != 0 {
            return Ok(());
        }
        let last = page.records.last().map(|record| record.offset);
        let to = last
            .filter(|last| *last > request.from)
            .unwrap_or(page.head);
        // Including the offset itself: a reader that got a gap over it comes back with its id.
        let after = page.floor.low().max(request.from.low().saturating_sub(1));
        let topic = match request.topics {
            Some([topic, ..]) => topic.clone(),
            _ => Arc::from(""),
        };
        let head = page.head.low();
        let lost = self.lost(page.epoch, after, to.low(), head).await?;
        let is_cut = lost.len() == MAX_LOST_PER_PAGE;
        if let (true, Some(end)) = (is_cut, lost.last()) {
            page.records.retain(|record| record.offset.low() <= *end);
        }
        if !lost.is_empty() {
            let lost = lost
                .iter()
                .map(|number| record::lost(*number, topic.clone()));
            page.records.extend(lost);
            page.records.sort_by_key(|record| record.offset);
        }
        Ok(())
    }

    /// The last message that the server has lost at a number or after it.
    pub(crate) async fn last_lost(
        &self,
        bounds: Bounds,
        from: u64,
    ) -> Result<Option<u64>, BrokerError> {
        let (head, after) = (bounds.head.low(), from.saturating_sub(1));
        let lost = self.lost(bounds.epoch, after, head, head).await?;
        Ok(match lost.len() {
            // There may be more holes.
            MAX_LOST_PER_PAGE => Some(head),
            _ => lost.last().copied(),
        })
    }

    /// The numbers after one, up to another, that the server has lost; at most [`MAX_LOST_PER_PAGE`]. If the future is
    /// dropped, the next call goes on from there.
    async fn lost(
        &self,
        epoch: Epoch,
        after: u64,
        to: u64,
        head: u64,
    ) -> Result<Vec<u64>, BrokerError> {
        // Held during the sweep, so that readers that come at once wait for one sweep.
        let mut swept = self.swept.lock().await;
        if swept.epoch != Some(epoch) {
            *swept = Swept {
                epoch: Some(epoch),
                low: after,
                high: after,
                holes: BTreeMap::new(),
                feed: None,
            };
        }
        while after < swept.low {
            let low = swept.low;
            let start = after.max(low.saturating_sub(STEP));
            let mut feed = self.open_sweep(start).await?;
            self.sweep(&mut swept, &mut feed, start, low, false).await?;
            swept.low = start;
        }
        if to > swept.high {
            // Up to the head, so that the next page needs no sweep.
            let (high, end) = (swept.high, head.max(to));
            let mut feed = match swept.take_feed() {
                Some(feed) => feed,
                None => self.open_sweep(high).await?,
            };
            self.sweep(&mut swept, &mut feed, high, end, true).await?;
            swept.high = swept.high.max(end);
            swept.feed = Some((feed, Instant::now()));
        }
        Ok(swept.missing(after, to, MAX_LOST_PER_PAGE))
    }

    /// Adds the part that the tail has brought without a hole.
    pub(crate) fn passed(&self, epoch: Epoch, before: u64, last: u64) {
        // A sweep under way finds the same.
        if let Ok(mut swept) = self.swept.try_lock()
            && swept.epoch == Some(epoch)
            && before <= swept.high
        {
            swept.high = swept.high.max(last);
        }
    }

    async fn open_sweep(&self, after: u64) -> Result<Feed, BrokerError> {
        Ok(Feed::open_bare(&self.link, &self.wanted, after + 1).await?)
    }

    /// Sweeps on with a feed that has brought nothing beyond `after`, and everything before it or nothing at all.
    async fn sweep(
        &self,
        swept: &mut Swept,
        feed: &mut Feed,
        after: u64,
        to: u64,
        is_upwards: bool,
    ) -> Result<(), BrokerError> {
        let mut before = after;
        // The end that such a pull reports may be older than this end.
        let mut is_old_pull = feed.is_pulling();
        while before < to {
            let pull = Pull {
                batch: BATCH,
                max_bytes: 0,
                expires: 0,
                idle_heartbeat: 0,
                no_wait: true,
            };
            if !feed.is_pulling() {
                is_old_pull = false;
                feed.pull(pull).await?;
            }
            while feed.is_pulling() && before < to {
                match feed.next().await? {
                    Item::Record(_, delivery) => {
                        // Upwards, messages beyond the end count too, since the same feed does not bring them again.
                        let end = match is_upwards {
                            true => delivery.stream,
                            false => delivery.stream.min(to + 1),
                        };
                        self.note(swept, before + 1, end.saturating_sub(1));
                        before = before.max(delivery.stream);
                    }
                    Item::Beat => {}
                    Item::End(End::Full) => {}
                    Item::End(End::Quiet) if is_old_pull => {}
                    // The server tells a consumer of new messages a moment after it has stored them.
                    Item::End(End::Quiet) if self.has_any(before + 1, to).await? => {
                        tokio::time::sleep(CONSUMER_PAUSE).await;
                    }
                    Item::End(End::Quiet) => {
                        self.note(swept, before + 1, to);
                        before = to;
                    }
                }
            }
            if is_upwards {
                swept.high = before;
            }
        }
        Ok(())
    }

    /// Whether the stream has one of the last messages of this range.
    async fn has_any(&self, first: u64, last: u64) -> Result<bool, BrokerError> {
        for number in (first..=last).rev().take(MAX_CHECKED) {
            if self.get(number).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn note(&self, swept: &mut Swept, first: u64, last: u64) {
        if swept.add(first, last) && swept.holes.len() <= MAX_LOGGED {
            tracing::error!(
                stream = %self.stream(),
                first,
                last,
                "the server has lost messages from the middle of the stream; readers that pass them get a gap"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_within_the_part_that_is_asked_for() {
        let mut swept = Swept::default();
        assert!(swept.add(5, 7) && swept.add(20, 20) && !swept.add(5, 7) && !swept.add(9, 8));
        assert_eq!(swept.missing(0, 100, 9), [5, 6, 7, 20]);
        assert_eq!(swept.missing(5, 19, 9), [6, 7]);
        assert_eq!(swept.missing(7, 19, 9), [0_u64; 0]);
        assert_eq!(swept.missing(0, 100, 2), [5, 6]);
    }
}
