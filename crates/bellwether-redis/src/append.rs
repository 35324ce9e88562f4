//! Batches of records as calls of the script that appends, and the replies.
//!
//! A batch is cut into runs that the server handles one after the other, each all or none: many records cost one round
//! trip, and no run holds up the server for long. Runs share a pipeline up to a bound in bytes, so that a batch of
//! large events is not in memory twice.

use std::ops::Range;

use bellwether_topics::Cursor;
use bellwether_topics::broker::{BrokerError, NewRecord, Stored};
use redis::Value;

use crate::builder::Settings;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::link::checked;
use crate::reply;
use crate::scripts::{Digests, LogCheck};

/// The most records and bytes of one run.
const RUN_RECORDS: usize = 64;
const RUN_BYTES: usize = 1 << 20;
/// The most bytes of the runs in one pipeline.
const PIPELINE_BYTES: usize = 16 << 20;

/// The bytes that a record counts in a run.
fn weight(record: &NewRecord) -> usize {
    let key = |key: &Option<std::sync::Arc<str>>| key.as_ref().map_or(0, |key| key.len());
    record.event.len()
        + record.topic.len()
        + key(&record.idempotency_key)
        + key(&record.conflation_key)
}

/// Cuts a batch into runs, in order.
pub(crate) fn runs(records: &[NewRecord]) -> Vec<Range<usize>> {
    cut(records.iter().map(weight), RUN_RECORDS, RUN_BYTES)
}

/// Groups runs into pipelines, in order.
pub(crate) fn pipelines(records: &[NewRecord], runs: &[Range<usize>]) -> Vec<Range<usize>> {
    let weigh = |run: &Range<usize>| records[run.clone()].iter().map(weight).sum();
    cut(runs.iter().map(weigh), usize::MAX, PIPELINE_BYTES)
}

/// Ranges of neighbours that together weigh no more than `max_bytes`, or hold a single one.
fn cut(
    weights: impl Iterator<Item = usize>,
    max_count: usize,
    max_bytes: usize,
) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, weight) in weights.enumerate() {
        match ranges.last_mut() {
            Some(range) if range.len() < max_count && bytes + weight <= max_bytes => {
                range.end = index + 1;
                bytes += weight;
            }
            _ => {
                ranges.push(index..index + 1);
                bytes = weight;
            }
        }
    }
    ranges
}

/// Adds the call that appends one run.
pub(crate) fn add_run(
    commands: &mut redis::Pipeline,
    run: &[NewRecord],
    keys: &Keys,
    settings: &Settings,
    digests: &Digests,
    check: &LogCheck,
) {
    let once: Vec<String> = run
        .iter()
        .filter_map(|record| Some(keys.once(&record.topic, record.idempotency_key.as_ref()?)))
        .collect();
    let command = commands.cmd("EVALSHA").arg(&digests.append);
    command
        .arg(3 + once.len())
        .arg(&keys.log)
        .arg(&keys.about)
        .arg(&keys.topics)
        .arg(&once);
    command
        .arg(check)
        .arg(milliseconds(settings.idempotency_window).max(1))
        .arg(if settings.is_exact { "=" } else { "~" })
        .arg(settings.max_records)
        .arg(settings.max_age.map_or(0, milliseconds));
    // Lua counts from one, and three other keys come first.
    let mut places = 4_usize..;
    for record in run {
        let place = record.idempotency_key.as_ref().and_then(|_| places.next());
        let conflation = record.conflation_key.as_ref();
        command
            .arg(&*record.topic)
            .arg(record.tag)
            .arg(&record.event[..])
            .arg(conflation.map_or_else(String::new, |key| format!("+{key}")))
            .arg(place.unwrap_or(0));
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The results for the records of one run: all or none were appended.
pub(crate) fn answers(answer: Value, run: &[NewRecord]) -> Vec<Result<Stored, BrokerError>> {
    match checked(answer).and_then(|answer| stored(answer, run)) {
        Ok(stored) => stored.into_iter().map(Ok).collect(),
        Err(failure) => {
            let failure = &failure;
            run.iter().map(|_| Err(failure.into())).collect()
        }
    }
}

fn stored(answer: Value, run: &[NewRecord]) -> Result<Vec<Stored>, Failure> {
    let mut answers = reply::list(answer)?.into_iter().map(reply::bytes);
    let missing = || Failure::UnexpectedReply("not one answer for each record");
    let epoch = reply::epoch(&answers.next().ok_or_else(missing)??)?;
    if answers.len() != run.len() {
        return Err(missing());
    }
    let stored = |(answer, record): (Result<Vec<u8>, Failure>, &NewRecord)| {
        let answer = answer?;
        let mut parts = answer.splitn(2, |byte| *byte == b' ');
        let offset = reply::offset(parts.next().unwrap_or_default())?;
        let known = parts.next().map(reply::tag).transpose()?;
        Ok(Stored {
            cursor: Cursor {
                epoch,
                offset,
                tag: known.unwrap_or(record.tag),
            },
            is_duplicate: known.is_some(),
        })
    };
    answers.zip(run).map(stored).collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn runs_hold_their_bounds_and_leave_nothing_out() {
        assert_eq!(cut([].into_iter(), 3, 10), []);
        assert_eq!(cut([1, 1, 1, 1].into_iter(), 3, 10), [0..3, 3..4]);
        assert_eq!(
            cut([6, 4, 1, 10, 11, 1].into_iter(), 9, 10),
            [0..2, 2..3, 3..4, 4..5, 5..6]
        );
    }
}
