//! What a reader asks the broker: for records before this node's memory, or for where it stands at all.
//!
//! The broker's word decides whether history is lost; this node's memory may lag behind or be of an earlier epoch. While
//! the broker does not answer, the question is asked again, and the stream stays open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::broker::{Broker, BrokerError, BrokerFuture, Page, ReadRequest};
use crate::clock;
use crate::cursor::{Cursor, Offset};
use crate::frame::{Draft, Frame};
use crate::gap::{Gap, GapReason};
use crate::log::Log;
use crate::place::Place;

/// How long any call of a broker may take before it counts as failed.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reader that is ahead of this node waits for it.
const LAG_PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks meanwhile, and how soon a reader that the broker has nothing for looks again.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

const PAGE_RECORDS: usize = 256;
const PAGE_BYTES: usize = 64 << 10;

/// What a reader wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// The records after its place.
    Page,
    /// Where to go on after a gap.
    Gap(GapReason),
    /// Whether its place, beyond this node's head, exists.
    Ahead,
    /// Where the log begins.
    Floor,
}

/// What it is told.
pub(crate) enum Answer {
    /// Frames to deliver, and the place behind them.
    Page(VecDeque<Frame>, Place),
    /// Nothing to deliver: look at this place in this node's memory.
    LookAgain(Place),
    /// History is lost; the place is where the gap says.
    Gap(Gap, Place),
}

/// Asks until there is an answer.
pub(crate) async fn answer(
    broker: Arc<dyn Broker>,
    permits: Arc<Semaphore>,
    log: Arc<Log>,
    topics: Arc<[Arc<str>]>,
    place: Place,
    question: Question,
) -> Answer {
    if matches!(question, Question::Ahead) {
        let waited = tokio::time::timeout(LAG_PATIENCE, async {
            while log.head_cursor().offset < place.offset {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        if waited.await.is_ok() {
            return Answer::LookAgain(place);
        }
    }
    let mut backoff = Backoff::new();
    loop {
        let asked = match question {
            Question::Floor => bounds(&*broker)
                .await
                .map(|bounds| Answer::LookAgain(Place::chosen(bounds.epoch, bounds.floor))),
            Question::Gap(reason) => bounds(&*broker).await.map(|bounds| gap(reason, &bounds)),
            // Both end in a page: it shows by its anchor whether the place exists.
            Question::Page | Question::Ahead => {
                // Invariant: the semaphore is never closed, so the permit is there.
                let permit = permits.acquire().await;
                let page = read(&*broker, &topics, place).await;
                drop(permit);
                page.map(|page| judge(page, &topics, place))
            }
        };
        match asked {
            Ok(Answer::LookAgain(place)) if !matches!(question, Question::Floor) => {
                tokio::time::sleep(LOOK_INTERVAL).await;
                return Answer::LookAgain(place);
            }
            Ok(answer) => return answer,
            Err(_) => backoff.sleep().await,
        }
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

/// The ends of the log as a page without records.
async fn bounds(broker: &dyn Broker) -> Result<Page, BrokerError> {
    let bounds = in_time(broker.bounds()).await?;
    Ok(Page {
        epoch: bounds.epoch,
        floor: bounds.floor,
        head: bounds.head,
        records: Vec::new(),
    })
}

async fn read(broker: &dyn Broker, topics: &[Arc<str>], place: Place) -> Result<Page, BrokerError> {
    in_time(broker.read(ReadRequest {
        from: place.offset,
        topics: Some(topics),
        max_records: PAGE_RECORDS,
        max_bytes: PAGE_BYTES,
    }))
    .await
}

/// Decides by the page's anchor whether it continues the reader's history. Pure.
fn judge(page: Page, topics: &[Arc<str>], place: Place) -> Answer {
    if page.epoch != place.epoch {
        return gap(GapReason::Epoch, &page);
    }
    let anchor = page
        .records
        .first()
        .filter(|record| record.offset == place.offset);
    let lost = match place.tag {
        _ if place.offset > page.head => Some(GapReason::Regressed),
        Some(tag) if place.offset != Offset::ZERO => match anchor {
            Some(record) if record.tag == tag => None,
            None if place.offset <= page.floor => Some(GapReason::Trimmed),
            _ => Some(GapReason::Regressed),
        },
        // Nothing to compare, so the log must have everything after the place.
        _ => (page.floor > place.offset).then_some(GapReason::Trimmed),
    };
    if let Some(reason) = lost {
        return gap(reason, &page);
    }
    let now = clock::now();
    let mut end = None;
    let mut frames = VecDeque::new();
    let later = page.records.into_iter();
    for record in later.filter(|record| record.offset > place.offset) {
        let cursor = Cursor {
            epoch: page.epoch,
            offset: record.offset,
            tag: record.tag,
        };
        end = Some(cursor);
        if topics.contains(&record.topic) {
            let draft = Draft::of_encoded(&record.event, record.conflation_key.as_deref());
            frames.push_back(draft.place(cursor, record.topic, now));
        }
    }
    match end {
        Some(cursor) => Answer::Page(frames, Place::asked(cursor)),
        None => Answer::LookAgain(place),
    }
}

fn gap(reason: GapReason, log: &Page) -> Answer {
    let place = Place::chosen(log.epoch, log.floor);
    let gap = Gap {
        reason,
        asked: None,
        floor: log.floor,
        head: log.head,
        lost: None,
        cursor: place.cursor(),
    };
    Answer::Gap(gap, place)
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
