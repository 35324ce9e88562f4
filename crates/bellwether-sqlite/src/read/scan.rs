//! Pages of some topics without the index, and the topics of the damaged records that such a page meets.
//!
//! Each record names the one before it in its topic, and the table of topics names the newest. So exactly one topic
//! claims a damaged record, as long as what claims it is whole. Otherwise the damaged row's own topic counts, and in
//! doubt the record counts as one of every topic.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::{Collected, Index};
use crate::failure::Failure;
use crate::rows::{self, CheckedRow};
use crate::topics;

/// The most records that a page without the index reads.
const MAX_SCANNED: u64 = 16_384;

/// The record at `from`, and those of some topics after it, from the table alone and within [`MAX_SCANNED`] records.
pub(super) fn by_scan(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<Index, Failure> {
    let from = page.wanted.from;
    let first = from.max(page.log.floor + 1);
    let (mut kept, mut passed) = (Vec::new(), None);
    let (mut own, mut bytes) = (0, 0);
    let next = rows::visit(connection, first, page.log.head, MAX_SCANNED, |found| {
        if own >= page.limit() || bytes > page.wanted.max_bytes {
            return false;
        }
        let is_own = topics.contains(&found.record.topic);
        if found.record.is_damaged || is_own || found.offset() == from {
            own += usize::from(is_own);
            bytes += found.record.event.len();
            kept.push(found);
        } else {
            passed = Some(found);
        }
        true
    })?;
    let is_complete = next > page.log.head;
    let owners = Owners::of(
        connection,
        topics,
        &kept,
        from.max(page.log.floor),
        is_complete,
    )?;
    let mut index = Index::Wrong;
    let last = kept.last().map(CheckedRow::offset);
    for mut found in kept {
        let offset = found.offset();
        if found.record.is_damaged && offset != from {
            match owners.owner(connection, topics, &found)? {
                Some(topic) => found.record.topic = topic,
                // The next page goes on from there, if nothing else is found.
                None if Some(offset) == last && !is_complete => found.record.topic = "".into(),
                None => continue,
            }
            index = Index::Right;
        }
        if !page.take(found) {
            return Ok(index);
        }
    }
    // The next page goes on from there.
    if let Some(passed) = passed
        && !is_complete
        && Some(passed.offset()) > last
    {
        page.records.push(passed.record);
    }
    Ok(index)
}

/// What whole records and the table of topics show about the damaged ones.
struct Owners {
    /// Offsets that a topic names as its own.
    claims: Vec<(u64, Arc<str>)>,
    /// Offsets, both excluded, between which no topic is known.
    doubts: Vec<(u64, u64)>,
}

impl Owners {
    fn of(
        connection: &Connection,
        topics: &[Arc<str>],
        kept: &[CheckedRow],
        before: u64,
        is_complete: bool,
    ) -> Result<Self, Failure> {
        let damaged = kept.iter().filter(|found| found.record.is_damaged);
        let damaged: HashSet<u64> = damaged.map(CheckedRow::offset).collect();
        let mut owners = Self {
            claims: Vec::new(),
            doubts: Vec::new(),
        };
        for topic in topics {
            let mut last = before;
            let mut follow = |previous: Option<u64>, next: u64, last: u64| match previous {
                Some(previous) if previous > last && damaged.contains(&previous) => {
                    owners.claims.push((previous, topic.clone()));
                    owners.doubts.push((last, previous));
                }
                Some(_) => {}
                None => owners.doubts.push((last, next)),
            };
            for found in kept {
                let is_own = !found.record.is_damaged && found.record.topic == *topic;
                if is_own && found.offset() > before {
                    follow(
                        found.previous.map(|previous| previous.offset),
                        found.offset(),
                        last,
                    );
                    last = found.offset();
                }
            }
            match is_complete {
                true => {
                    let newest = topics::newest(connection, topic)?;
                    follow(
                        Some(newest.map_or(0, |newest| newest.offset)),
                        u64::MAX,
                        last,
                    );
                }
                false => follow(None, u64::MAX, last),
            }
        }
        Ok(owners)
    }

    /// The wanted topic to which a damaged record may belong, if there is one.
    fn owner(
        &self,
        connection: &Connection,
        topics: &[Arc<str>],
        found: &CheckedRow,
    ) -> Result<Option<Arc<str>>, Failure> {
        let offset = found.offset();
        let claim = self.claims.iter().find(|(claimed, _)| *claimed == offset);
        if let Some((_, topic)) = claim {
            return Ok(Some(topic.clone()));
        }
        let is_in_doubt = |(after, before): &(u64, u64)| offset > *after && offset < *before;
        if !self.doubts.iter().any(is_in_doubt) {
            return Ok(None);
        }
        let text = &found.record.topic;
        if topics.contains(text) {
            return Ok(Some(text.clone()));
        }
        // Another topic that exists counts as the record's own.
        let is_others = topics::newest(connection, text)?.is_some();
        Ok(topics.first().filter(|_| !is_others).cloned())
    }
}
