//! The log being followed, over a connection of its own.
//!
//! A blocking read waits at the server for the next entry. It is only the bell: the script that reads follows it in the
//! same packet, so that records, epoch and ends come from one snapshot, bounded in bytes, without another round trip.
//! Each page proves by the record before it that nothing was lost between them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::broker::{BrokerError, BrokerFuture, Page, Tail};
use bellwether_topics::{Epoch, Offset};
use tokio::time::Instant;

use crate::broker::{Log, PageOf};
use crate::error::Failure;
use crate::link::{CHECK_INTERVAL, Connection, checked};
use crate::reply;

/// How long the server waits for a new entry before the tail beats.
const BLOCK: Duration = Duration::from_secs(1);
/// The most records and bytes of a page.
const PAGE_RECORDS: usize = 1024;
const PAGE_BYTES: usize = 1 << 20;

/// A follower, or the page that it is waiting for: that survives when the caller's future is dropped.
pub(crate) enum RedisTail {
    Resting(Follower),
    Waiting(Waiting),
    Failed,
}

type Waiting = Pin<Box<dyn Future<Output = Result<(Follower, Page), Failure>> + Send>>;

/// A place in the log, and the connection over which it moves on.
pub(crate) struct Follower {
    log: Arc<Log>,
    connection: Connection,
    place: Place,
    has_more: bool,
    checked_at: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Place {
    /// Nothing was read yet.
    Start(Offset),
    /// At the start of this epoch's log, which had no record, or where there was none.
    Nothing(Epoch, Offset),
    /// At the record with this tag.
    Record(Epoch, Offset, u32),
}

impl RedisTail {
    /// Connects. Not bounded in time by itself.
    pub(crate) async fn open(log: Arc<Log>, from: Offset) -> Result<Self, Failure> {
        let connection = log.server.open().await?;
        connection.load_scripts().await?;
        Ok(Self::Resting(Follower {
            log,
            connection,
            place: Place::Start(from),
            has_more: true,
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
            // Whatever else happens, a future that has ended is not asked again.
            *self = Self::Failed;
            let (follower, page) = result?;
            *self = Self::Resting(follower);
            Ok(page)
        })
    }
}

impl Follower {
    async fn next(mut self) -> Result<(Self, Page), Failure> {
        let (offset, is_start) = match self.place {
            Place::Start(offset) => (offset, true),
            Place::Nothing(_, offset) | Place::Record(_, offset, _) => (offset, false),
        };
        let is_thorough = self
            .checked_at
            .is_none_or(|at| at.elapsed() >= CHECK_INTERVAL);
        let mut commands = redis::pipe();
        let mut timeout = self.log.server.timeout;
        if !self.has_more {
            timeout += BLOCK;
            commands
                .cmd("XREAD")
                .arg("COUNT")
                .arg(1)
                .arg("BLOCK")
                .arg(BLOCK.as_millis() as u64)
                .arg("STREAMS")
                .arg(&self.log.keys.log)
                .arg(reply::id(offset));
        }
        let page_of = PageOf {
            from: offset,
            topics: None,
            max_records: PAGE_RECORDS,
            max_bytes: PAGE_BYTES,
            is_anchor_bare: !is_start,
        };
        self.log.add_read(&mut commands, &page_of, is_thorough);
        let sent = self
            .log
            .server
            .bounded(timeout, self.connection.send(&commands));
        let mut answers = sent.await?.into_iter().map(checked);
        let last = answers.next_back();
        // The bell's answer is only looked at for an error.
        answers.collect::<Result<Vec<_>, _>>()?;
        let mut page = reply::page(last.ok_or(Failure::Odd("no answer"))??)?;
        if is_thorough {
            self.checked_at = Some(Instant::now());
        }
        self.place = self.place.after(&mut page)?;
        self.has_more = page.head > self.place.offset();
        let metrics = &self.log.server.metrics;
        metrics.pages.increment(1);
        metrics.read_bytes.increment(bytes_of(&page));
        Ok((self, page))
    }
}

impl Place {
    fn offset(self) -> Offset {
        match self {
            Self::Start(offset) | Self::Nothing(_, offset) | Self::Record(_, offset, _) => offset,
        }
    }

    /// The place behind a page, if the page continues the log from this one; takes the bare anchor out of it. Pure.
    fn after(self, page: &mut Page) -> Result<Self, Failure> {
        let is_other_log = match self {
            Self::Start(_) => false,
            Self::Nothing(epoch, _) | Self::Record(epoch, ..) => page.epoch != epoch,
        };
        // The layer above sees the other epoch and begins anew.
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
                    return Err(Failure::Odd(
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

/// How many bytes of events a page holds.
pub(crate) fn bytes_of(page: &Page) -> u64 {
    let bytes: usize = page.records.iter().map(|record| record.event.len()).sum();
    bytes as u64
}
