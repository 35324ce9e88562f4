//! [`RedisTail`]: follows the log over a connection of its own.
//!
//! A blocking read brings the next entries. The script that reads follows in the same pipeline, so that the state of
//! the log is known right after them without another round trip. The entries do not pass through Lua, which would cost
//! the server several times as much. Each page proves by the record before it that nothing was lost in between: records
//! are removed only at the front, so if that record still exists, everything after it did.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::broker::{BrokerError, BrokerFuture, Page, Tail};
use bellwether_topics::{Epoch, Offset};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::link::{CHECK_INTERVAL, Connection, checked};
use crate::log::{Log, PageOf};
use crate::reply;

/// How long the server waits for a new entry before the tail returns an empty page.
const BLOCK: Duration = Duration::from_secs(1);
/// The least and the most records of a page, and about the most bytes. The server bounds only by number, so the number
/// follows the size of the events before.
const MIN_PAGE_RECORDS: usize = 16;
const MAX_PAGE_RECORDS: usize = 512;
const PAGE_BYTES: usize = 1 << 20;

/// A follower, or the page that it waits for. The wait survives when the caller's future is dropped.
pub(crate) enum RedisTail {
    Resting(Follower),
    Waiting(Waiting),
    Failed,
}

type Waiting = Pin<Box<dyn Future<Output = Result<(Follower, Page), Failure>> + Send>>;

/// A position in the log, and the connection over which it moves on.
pub(crate) struct Follower {
    log: Arc<Log>,
    connection: Connection,
    position: Position,
    page_records: usize,
    checked_at: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Position {
    /// Nothing was read yet.
    Start(Offset),
    /// At the start of this epoch's log, which had no record, or where there was none.
    Nothing(Epoch, Offset),
    /// At the record with this tag.
    Record(Epoch, Offset, u32),
}

impl RedisTail {
    /// Connects. The caller bounds the time.
    pub(crate) async fn open(log: Arc<Log>, from: Offset) -> Result<Self, Failure> {
        let connection = log.server.open().await?;
        connection.load_scripts().await?;
        Ok(Self::Resting(Follower {
            log,
            connection,
            position: Position::Start(from),
            page_records: MIN_PAGE_RECORDS,
            checked_at: None,
        }))
    }
}

impl Tail for RedisTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(async move {
            if let Self::Resting(_) = self
                && let Self::Resting(follower) = std::mem::replace(self, Self::Failed)
            {
                *self = Self::Waiting(Box::pin(follower.next()));
            }
            let Self::Waiting(waiting) = self else {
                return Err(BrokerError::unavailable("the tail has failed before"));
            };
            let result = waiting.await;
            // A future that has ended must not be polled again.
            *self = Self::Failed;
            let (follower, page) = result?;
            *self = Self::Resting(follower);
            Ok(page)
        })
    }
}

impl Follower {
    async fn next(mut self) -> Result<(Self, Page), Failure> {
        let is_thorough = self
            .checked_at
            .is_none_or(|at| at.elapsed() >= CHECK_INTERVAL);
        let mut page = match self.position {
            Position::Start(from) => self.first_page(from, is_thorough).await?,
            position => self.next_entries(position.offset(), is_thorough).await?,
        };
        if is_thorough {
            self.checked_at = Some(Instant::now());
        }
        self.position = self.position.after(&mut page)?;
        self.log.note_page(&page);
        let bytes = bytes_of(&page);
        if !page.records.is_empty() {
            let average = usize::try_from(bytes).unwrap_or(usize::MAX) / page.records.len();
            self.page_records =
                (PAGE_BYTES / average.max(1)).clamp(MIN_PAGE_RECORDS, MAX_PAGE_RECORDS);
        }
        let metrics = &self.log.server.metrics;
        metrics.pages.increment(1);
        metrics.read_bytes.increment(bytes);
        Ok((self, page))
    }

    /// The record at this position and those after it, without waiting.
    async fn first_page(&self, from: Offset, is_thorough: bool) -> Result<Page, Failure> {
        let server = &self.log.server;
        let mut commands = redis::pipe();
        let page_of = PageOf {
            from,
            topics: None,
            max_records: MAX_PAGE_RECORDS,
            max_bytes: PAGE_BYTES,
        };
        self.log.add_read(&mut commands, &page_of, is_thorough);
        let sending = self.connection.send(&commands);
        let answer = server.bounded(server.timeout, sending).await?.pop();
        reply::page(checked(
            answer.ok_or(Failure::UnexpectedReply("no answer"))?,
        )?)
    }

    /// The record at this position without its event, and the next ones, for which the server waits.
    async fn next_entries(&self, after: Offset, is_thorough: bool) -> Result<Page, Failure> {
        let server = &self.log.server;
        let mut commands = redis::pipe();
        commands
            .cmd("XREAD")
            .arg("COUNT")
            .arg(self.page_records)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(&self.log.keys.log)
            .arg(reply::id(after));
        let page_of = PageOf {
            from: after,
            ..PageOf::default()
        };
        self.log.add_read(&mut commands, &page_of, is_thorough);
        let sending = self.connection.send(&commands);
        let answers = server.bounded(server.timeout + BLOCK, sending).await?;
        let [next_entries, state]: [_; 2] = answers
            .try_into()
            .map_err(|_| Failure::UnexpectedReply("not one answer to each command"))?;
        let next_entries = reply::stream_entries(checked(next_entries)?)?;
        let mut page = reply::page(checked(state)?)?;
        page.records.extend(next_entries);
        Ok(page)
    }
}

impl Position {
    fn offset(self) -> Offset {
        match self {
            Self::Start(offset) | Self::Nothing(_, offset) | Self::Record(_, offset, _) => offset,
        }
    }

    /// The position behind a page, if the page continues the log from this position. Removes the anchor from the page.
    /// Pure.
    fn after(self, page: &mut Page) -> Result<Self, Failure> {
        let is_other_log = match self {
            Self::Start(_) => false,
            Self::Nothing(epoch, _) | Self::Record(epoch, ..) => page.epoch != epoch,
        };
        // The node sees the other epoch and resets.
        if !is_other_log {
            match self {
                Self::Start(_) => {}
                Self::Nothing(_, offset) if page.floor <= offset => {}
                Self::Record(_, offset, tag)
                    if page
                        .records
                        .first()
                        .is_some_and(|anchor| anchor.offset == offset && anchor.tag == tag) =>
                {
                    page.records.remove(0);
                }
                _ => {
                    return Err(Failure::UnexpectedReply(
                        "the log lost records that were still to be read",
                    ));
                }
            }
        }
        Ok(match (page.records.last(), self) {
            (Some(last), _) => Self::Record(page.epoch, last.offset, last.tag),
            (None, Self::Record(_, offset, tag)) => Self::Record(page.epoch, offset, tag),
            (None, _) => Self::Nothing(page.epoch, self.offset()),
        })
    }
}

/// The number of bytes of the events in a page.
pub(crate) fn bytes_of(page: &Page) -> u64 {
    let bytes: usize = page.records.iter().map(|record| record.event.len()).sum();
    bytes as u64
}
