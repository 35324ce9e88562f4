//! Appending: lists of records, in order. Each record is confirmed within a time, or gets an error that says whether it
//! may be stored.
//!
//! A list is sent in windows, and a window in one `round` or in several: what a round leaves unconfirmed is sent again
//! as far as its outcomes allow.

use std::time::Duration;

use bellwether_topics::broker::{Bounds, BrokerError, NewRecord, Stored};
use bellwether_topics::{Cursor, Epoch, Offset};
use tokio::time::{Instant, sleep};

use crate::api::{ApiError, PublishAck};
use crate::name;
use crate::outcome::{Outcome, repeat_from};
use crate::record;
use crate::round::Outgoing;
use crate::shared::Shared;

/// The most records that are under way at once.
const WINDOW_RECORDS: usize = 512;
/// The most bytes of their events, beyond the first.
const WINDOW_BYTES: usize = 4 << 20;
/// The pause before the end of a list is sent again.
const PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Appends records in their order.
    pub(crate) async fn append(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Stored, BrokerError>>, BrokerError> {
        let started = std::time::Instant::now();
        let deadline = Instant::now() + self.timeout;
        // Without a connection for the whole time nothing is sent, and nothing will be sent later.
        self.link.connected(deadline).await?;
        let mut answers = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let (window, later) = rest.split_at(window_len(rest));
            answers.extend(self.append_window(window, deadline).await);
            rest = later;
        }
        self.observe(records, &answers, started);
        Ok(answers)
    }

    fn observe(
        &self,
        records: &[NewRecord],
        answers: &[Result<Stored, BrokerError>],
        started: std::time::Instant,
    ) {
        let metrics = &self.metrics;
        metrics.append_seconds.record(started.elapsed());
        metrics.append_records.record(records.len() as f64);
        for (record, answer) in records.iter().zip(answers) {
            match answer {
                Ok(stored) if stored.is_duplicate => metrics.duplicates.increment(1),
                Ok(_) => metrics.append_bytes.increment(record.event.len() as u64),
                Err(_) => metrics.append_failed.increment(1),
            }
        }
    }

    async fn append_window(
        &self,
        records: &[NewRecord],
        deadline: Instant,
    ) -> Vec<Result<Stored, BrokerError>> {
        let known = self.known();
        let outgoing: Vec<_> = records.iter().map(|record| self.outgoing(record)).collect();
        let mut outcomes: Vec<_> = records.iter().map(|_| Outcome::Unknown).collect();
        let mut first = 0;
        let mut is_repeated = false;
        while first < records.len() {
            let now = Instant::now();
            if now >= deadline {
                // Windows before this one took all the time.
                return records
                    .iter()
                    .map(|_| Err(ApiError::TimedOut.into()))
                    .collect();
            }
            // A repetition needs time of its own.
            let round = now + (deadline - now) / 2;
            let round = if is_repeated { deadline } else { round };
            match self.link.connected(deadline).await {
                Ok(_) => self.send(&outgoing, first, &mut outcomes, round).await,
                // What was not sent is certainly not stored.
                Err(error) if !is_repeated => {
                    return records.iter().map(|_| Err(error.clone().into())).collect();
                }
                Err(_) => break,
            }
            first = repeat_from(&outcomes);
            let wait = PAUSE.mul_f64(1.0 + fastrand::f64());
            if Instant::now() + wait >= deadline {
                break;
            }
            if first < records.len() {
                is_repeated = true;
                self.metrics
                    .append_repeated
                    .increment((records.len() - first) as u64);
                sleep(wait).await;
            }
        }
        self.answers(records, outcomes, known.epoch, known.head, is_repeated)
            .await
    }

    /// A record with its message id: of its idempotency key, or one that only this process can use again.
    fn outgoing(&self, record: &NewRecord) -> Outgoing {
        let key = record.idempotency_key.as_deref();
        let id = match key {
            Some(key) => name::message_id(&record.topic, key),
            None => self.ids.next(),
        };
        Outgoing::new(record, &id, self.prefix())
    }

    /// The results for the caller.
    async fn answers(
        &self,
        records: &[NewRecord],
        outcomes: Vec<Outcome>,
        epoch: Epoch,
        head: u64,
        is_repeated: bool,
    ) -> Vec<Result<Stored, BrokerError>> {
        let is_new =
            |o: &Outcome| matches!(o, Outcome::Stored(ack) if !ack.duplicate && ack.seq <= head);
        let mut epoch = epoch;
        if outcomes.iter().any(is_new) {
            // These numbers were given out before: it is another stream, or one that lost its end.
            match self.fetch_state().await {
                Ok(state) => epoch = state.bounds.epoch,
                Err(error) => {
                    tracing::warn!(%error, "a stream that was made again does not answer");
                }
            }
        }
        let mut answers = Vec::with_capacity(records.len());
        for (record, outcome) in records.iter().zip(outcomes) {
            answers.push(match outcome {
                Outcome::Stored(ack) => {
                    self.note_record(epoch, ack.seq);
                    self.stored(record, &ack, epoch, is_repeated).await
                }
                Outcome::Failed(error) | Outcome::Refused(error) => Err(error),
                Outcome::Unknown => Err(BrokerError::unavailable(format!(
                    "NATS did not confirm the record within {:?}; it may be stored all the same",
                    self.timeout
                ))),
            });
        }
        answers
    }

    async fn stored(
        &self,
        record: &NewRecord,
        ack: &PublishAck,
        epoch: Epoch,
        is_repeated: bool,
    ) -> Result<Stored, BrokerError> {
        let mut tag = record.tag;
        let mut is_duplicate = false;
        if ack.duplicate {
            // Nothing is left of a record that was trimmed since, but the same key always has the same tag.
            if let Some(message) = self.get(ack.seq).await? {
                tag = record::of_raw(&message, self.prefix()).tag;
            }
            // The server may know the record from this append's first attempt.
            is_duplicate = !(is_repeated && tag == record.tag);
        }
        let cursor = Cursor {
            epoch,
            offset: Offset::new(ack.seq),
            tag,
        };
        Ok(Stored {
            cursor,
            is_duplicate,
        })
    }

    /// Stores a record that no reader gets, so that the log's newest record is never removed for its age. Several nodes
    /// that do so at once store one.
    pub(crate) async fn mark(&self, bounds: Bounds) -> Result<(), BrokerError> {
        let deadline = Instant::now() + self.timeout;
        let record = record::marker(fastrand::u32(..));
        let id = format!("marker.{:x}.{}", bounds.epoch.0, bounds.head);
        let outgoing = [Outgoing::new(&record, &id, self.prefix())];
        let mut outcomes = [Outcome::Unknown];
        self.send(&outgoing, 0, &mut outcomes, deadline).await;
        match outcomes {
            [Outcome::Stored(_)] => {
                self.metrics.markers.increment(1);
                Ok(())
            }
            [Outcome::Failed(error) | Outcome::Refused(error)] => Err(error),
            [Outcome::Unknown] => Err(ApiError::TimedOut.into()),
        }
    }
}

fn window_len(records: &[NewRecord]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&NewRecord| {
        bytes += record.event.len();
        bytes <= WINDOW_BYTES
    };
    let fitting = records.iter().take(WINDOW_RECORDS).take_while(fits).count();
    fitting.max(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_window_holds_one_record_at_least() {
        let record = |bytes: usize| NewRecord {
            event: Bytes::from(vec![0; bytes]),
            ..record::marker(0)
        };
        assert_eq!(window_len(&[record(WINDOW_BYTES + 1), record(1)]), 1);
        assert_eq!(window_len(&[record(1), record(WINDOW_BYTES)]), 1);
        assert_eq!(
            window_len(&vec![record(1); WINDOW_RECORDS + 1]),
            WINDOW_RECORDS
        );
    }
}
