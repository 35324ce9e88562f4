//! What a reader asks the broker: for records before this node's memory, or whether its position exists.
//!
//! The broker decides whether history is lost, because this node's memory may lag behind or be of an earlier epoch.
//! While the broker does not answer, the question is asked again, and the stream stays open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::broker::newest::{NewestLookups, NewestSeen};
use crate::broker::{Broker, BrokerError, BrokerFuture, Page, ReadRequest, Record, Trimmed};
use crate::clock;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::{Draft, Frame};
use crate::event::gap::{Gap, GapReason};
use crate::log::Log;
use crate::log::position::Position;

/// How long any call of a broker may take before it counts as failed.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reader that is ahead of this node waits for it.
const LAG_TIMEOUT: Duration = Duration::from_secs(5);
/// How often that reader checks meanwhile.
const CHECK_INTERVAL: Duration = Duration::from_millis(25);

const PAGE_RECORDS: usize = 256;
const PAGE_BYTES: usize = 64 << 10;

/// What a reader wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// The records after its position.
    Page,
    /// Where to go on after a gap.
    Gap(GapReason),
    /// Whether its position, beyond this node's head, exists.
    Ahead,
    /// The records from the start of the log.
    Start,
}

/// What the reader gets.
pub(crate) enum Answer {
    /// Frames to deliver, and the position behind them.
    Page(VecDeque<Frame>, Position),
    /// Nothing to deliver: the reader goes on at this position in this node's memory.
    ReadMemory(Position),
    /// History is lost. The frames after the gap come with it; otherwise a log that is trimmed faster than a reader
    /// asks would give it gaps and never an event. The position is behind those frames.
    Gap(Gap, VecDeque<Frame>, Position),
}

/// Asks until there is an answer.
pub(crate) async fn answer(
    broker: Arc<dyn Broker>,
    permits: Arc<Semaphore>,
    lookups: Option<NewestLookups>,
    log: Arc<Log>,
    topics: Arc<[Arc<str>]>,
    position: Position,
    question: Question,
) -> Answer {
    if matches!(question, Question::Ahead)
        && has_arrived(&log, position.epoch, position.offset).await
    {
        return Answer::ReadMemory(position);
    }
    let asking = Asking {
        broker: &*broker,
        topics: &topics,
    };
    let mut backoff = Backoff::new();
    loop {
        // Read before the broker is asked, so that the broker has everything up to this head when it answers.
        let here = log.head();
        let seen = match (&lookups, question, &*topics) {
            (Some(lookups), Question::Page, [topic]) => lookups.newest_of(topic).await,
            _ => None,
        };
        let found = match seen.filter(|seen| is_newest(seen, position)) {
            Some(NewestSeen { epoch, head, .. }) => Ok(Found::Nothing { epoch, head }),
            None => {
                // Invariant: the semaphore is never closed, so the permit is there.
                let _permit = permits.acquire().await;
                asking.ask(position, question).await
            }
        };
        match found {
            Ok(Found::Answer(answer)) => return answer,
            Ok(Found::Nothing {
                epoch: found_epoch,
                head: found_head,
            }) => {
                let (epoch, head, tag) = here;
                if epoch != found_epoch || head < position.offset {
                    // This node has not yet followed the log up to what the broker answered.
                    if has_arrived(&log, found_epoch, position.offset).await {
                        return Answer::ReadMemory(Position {
                            epoch: found_epoch,
                            ..position
                        });
                    }
                } else if found_head >= head {
                    return Answer::ReadMemory(Position {
                        tag,
                        ..Position::chosen(epoch, head)
                    });
                }
                backoff.sleep().await;
            }
            Err(_) => backoff.sleep().await,
        }
    }
}

/// Whether this node comes to hold a position of this epoch within [`LAG_TIMEOUT`].
async fn has_arrived(log: &Log, epoch: Epoch, offset: Offset) -> bool {
    let arrival = async {
        loop {
            let (here, head, _) = log.head();
            if here == epoch && head >= offset {
                return;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    };
    tokio::time::timeout(LAG_TIMEOUT, arrival).await.is_ok()
}

/// The broker to ask, and the topics to ask about.
struct Asking<'a> {
    broker: &'a dyn Broker,
    topics: &'a [Arc<str>],
}

/// What the broker answered.
enum Found {
    Answer(Answer),
    /// The position exists, and nothing comes after it in the log of this epoch, which goes up to this head.
    Nothing {
        epoch: Epoch,
        head: Offset,
    },
}

impl Asking<'_> {
    async fn ask(&self, position: Position, question: Question) -> Result<Found, BrokerError> {
        let (position, page) = match question {
            Question::Gap(reason) => return self.gap(reason).await,
            Question::Start => {
                let page = self.read(Offset::ZERO).await?;
                (Position::chosen(page.epoch, Offset::ZERO), page)
            }
            // In both cases the page's anchor shows whether the position exists.
            Question::Page | Question::Ahead => (position, self.read(position.offset).await?),
        };
        match judge(&page, position) {
            Ok(()) if self.damage(&page, position.offset).is_some() => {
                Ok(self.damaged(&page, position))
            }
            Ok(()) => {
                let (frames, end) = self.frames(&page, position.offset);
                Ok(match end {
                    Some(end) => Found::Answer(Answer::Page(frames, end)),
                    None => Found::Nothing {
                        epoch: page.epoch,
                        head: page.head,
                    },
                })
            }
            // The records after the position are what is left.
            Err(GapReason::Trimmed) => {
                Ok(self.gap_before(GapReason::Trimmed, &page, position.offset))
            }
            // Something was lost, but the reader's own record exists, so what the reader has had is not delivered
            // again.
            Err(reason) if has_record_of(&page, position) => {
                Ok(self.gap_before(reason, &page, position.offset))
            }
            Err(reason) => self.gap(reason).await,
        }
    }

    /// A gap up to the log's floor, and what follows there.
    async fn gap(&self, reason: GapReason) -> Result<Found, BrokerError> {
        let bounds = in_time(self.broker.bounds()).await?;
        let page = self.read(bounds.floor).await?;
        match page.epoch == bounds.epoch {
            true => Ok(self.gap_before(reason, &page, bounds.floor)),
            false => Err(BrokerError::unavailable("the log was just replaced")),
        }
    }

    async fn read(&self, from: Offset) -> Result<Page, BrokerError> {
        let request = ReadRequest {
            from,
            topics: Some(self.topics),
            max_records: PAGE_RECORDS,
            max_bytes: PAGE_BYTES,
        };
        in_time(self.broker.read(request)).await
    }

    fn gap_before(&self, reason: GapReason, page: &Page, after: Offset) -> Found {
        let at = page.floor.max(after);
        let anchor = page.records.first().filter(|record| record.offset == at);
        // With the tag of the record there, the gap's own id can be proven later.
        let floor = anchor.map_or_else(
            || Position::chosen(page.epoch, at),
            |anchor| Position::asked(cursor_of(page, anchor)),
        );
        let (frames, end) = self.frames(page, after);
        let gap = Gap {
            reason,
            asked: None,
            floor: page.floor,
            head: page.head,
            lost: None,
            cursor: floor.cursor(),
        };
        Found::Answer(Answer::Gap(gap, frames, end.unwrap_or(floor)))
    }

    /// The damaged records directly after an offset: how many of them are wanted, and the cursor of the last.
    fn damage(&self, page: &Page, after: Offset) -> Option<(u64, Cursor)> {
        let later = page.records.iter().filter(|record| record.offset > after);
        let of_readers = later.filter(|record| self.topics.contains(&record.topic));
        let damaged = of_readers.take_while(|record| record.is_damaged);
        damaged.fold(None, |found, record| {
            let cursor = cursor_of(page, record);
            Some((found.map_or(1, |(count, _)| count + 1), cursor))
        })
    }

    /// A gap over the damaged records that come next, and what follows them.
    fn damaged(&self, page: &Page, position: Position) -> Found {
        let Some((lost, cursor)) = self.damage(page, position.offset) else {
            return self.gap_before(GapReason::Damaged, page, position.offset);
        };
        let (frames, end) = self.frames(page, cursor.offset);
        let gap = Gap {
            reason: GapReason::Damaged,
            asked: None,
            floor: page.floor,
            head: page.head,
            lost: Some(lost),
            cursor,
        };
        let end = end.unwrap_or(Position::asked(cursor));
        Found::Answer(Answer::Gap(gap, frames, end))
    }

    /// The wanted records of a page after an offset, up to one that is damaged, and the position behind all of them.
    fn frames(&self, page: &Page, after: Offset) -> (VecDeque<Frame>, Option<Position>) {
        let now = clock::now();
        let mut end = None;
        let mut frames = VecDeque::new();
        for record in page.records.iter().filter(|record| record.offset > after) {
            let cursor = cursor_of(page, record);
            let is_wanted = self.topics.contains(&record.topic);
            if is_wanted && record.is_damaged {
                break;
            }
            end = Some(Position::asked(cursor));
            if is_wanted {
                let draft = Draft::of_encoded(&record.event, record.conflation_key.as_deref());
                frames.push_back(draft.into_frame(cursor, record.topic.clone(), now));
            }
        }
        (frames, end)
    }
}

/// Gives a call of a broker [`BROKER_TIMEOUT`].
pub(crate) async fn in_time<T>(call: BrokerFuture<'_, T>) -> Result<T, BrokerError> {
    tokio::time::timeout(BROKER_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| {
            Err(BrokerError::unavailable(
                "the broker did not answer in time",
            ))
        })
}

fn cursor_of(page: &Page, record: &Record) -> Cursor {
    Cursor {
        epoch: page.epoch,
        offset: record.offset,
        tag: record.tag,
    }
}

/// Whether a reader's position is its topic's newest record: then it exists, and nothing of its own comes after it. Pure.
fn is_newest(seen: &NewestSeen, position: Position) -> bool {
    let (offset, tag) = seen.newest;
    seen.epoch == position.epoch && offset == position.offset && position.tag == Some(tag)
}

/// Whether the log has the record that the reader had last, under whatever epoch. Pure.
fn has_record_of(page: &Page, position: Position) -> bool {
    let anchor = page.records.first();
    position.tag.is_some()
        && anchor.is_some_and(|anchor| {
            anchor.offset == position.offset && Some(anchor.tag) == position.tag
        })
}

/// The tag in the id of a gap where the log had no record: the position was chosen by the log and has no proof.
const NO_TAG: u32 = 0;

/// Decides by the page's anchor whether it continues the reader's history. Pure.
fn judge(page: &Page, position: Position) -> Result<(), GapReason> {
    if page.epoch != position.epoch {
        return Err(GapReason::Epoch);
    }
    if position.offset > page.head {
        return Err(GapReason::Regressed);
    }
    let anchor = page.records.first();
    let anchor = anchor.filter(|record| record.offset == position.offset);
    let trimmed = page.trimmed.unwrap_or(Trimmed {
        to: page.floor,
        tag: None,
    });
    match position.tag {
        Some(tag) if tag != NO_TAG && position.offset != Offset::ZERO => match anchor {
            Some(record) if record.tag == tag => Ok(()),
            // The last of the reader's own records that was removed proves its position as well as if it were there. Another
            // one that was removed proves nothing, so that in doubt there is a gap.
            None if position.offset == trimmed.to && trimmed.tag == Some(tag) => Ok(()),
            None if position.offset == trimmed.to && trimmed.tag.is_some() => {
                Err(GapReason::Regressed)
            }
            // Nothing of the reader's topics was removed since.
            None if position.offset <= page.floor
                && page.trimmed.is_some_and(|last| last.to < position.offset) =>
            {
                Ok(())
            }
            None if position.offset <= page.floor => Err(GapReason::Trimmed),
            _ => Err(GapReason::Regressed),
        },
        // Nothing to compare, so the log must have everything after the position.
        _ if trimmed.to > position.offset => Err(GapReason::Trimmed),
        _ => Ok(()),
    }
}

/// Waits between tries: 50 ms, doubled up to a second, of which a random half is left out.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) async fn sleep(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(Self::LAST);
    }
}
