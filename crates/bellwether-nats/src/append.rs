//! Appending: publishes in order, with all confirmations awaited within a bound.
//!
//! Every record has a message id, those without an idempotency key one of their own, so that sending one again never
//! stores it twice. Sending again must not change the order either: a record whose fate is unknown may still be under
//! way behind a later one. So only the end of a list is sent again, from the last record that got no answer, and only
//! if all before it have one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{HeaderMap, Message, PublishErrorKind, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bellwether_topics::broker::{Bounds, BrokerError, NewRecord, Stored};
use bellwether_topics::{Cursor, Epoch, Offset};
use bytes::Bytes;
use futures_util::StreamExt as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::{self, ApiError, Fault, PublishAck};
use crate::name;
use crate::record;
use crate::shared::Shared;

/// How many records are under way at once.
const WINDOW_RECORDS: usize = 512;
/// And how many bytes of events, beyond the first.
const WINDOW_BYTES: usize = 4 << 20;
/// How long after a reconnect an answer to what was sent before may take.
const GRACE: Duration = Duration::from_millis(250);
/// The pause before the end of a list is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes message ids for records that bring none.
#[derive(Debug)]
pub(crate) struct MessageIds {
    /// 96 random bits of this broker's own.
    prefix: String,
    next: AtomicU64,
}

impl MessageIds {
    pub(crate) fn new() -> Self {
        let mut bits = [0; 12];
        if SystemRandom::new().fill(&mut bits).is_err() {
            bits.fill_with(|| fastrand::u8(..));
        }
        Self {
            prefix: BASE64_URL_SAFE_NO_PAD.encode(bits),
            next: AtomicU64::new(0),
        }
    }

    /// No hash of a key has a dot.
    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}.{number:x}", self.prefix)
    }
}

/// A record as it is sent.
struct Outgoing {
    subject: String,
    headers: HeaderMap,
    event: Bytes,
}

/// What is known of a record that was sent.
#[derive(Debug)]
enum Outcome {
    /// No answer: it may be stored, or be stored yet.
    Unknown,
    /// Not stored, but may be if it is sent again.
    Failed(BrokerError),
    /// Not stored, and never will be.
    Refused(BrokerError),
    /// Stored, by this append or by one before.
    Stored(PublishAck),
}

/// From where on a list may be sent again, by what is known of its records; its length for nothing. Pure.
fn repeat_from(outcomes: &[Outcome]) -> usize {
    let mut start = outcomes.len();
    for (index, outcome) in outcomes.iter().enumerate().rev() {
        match outcome {
            Outcome::Failed(_) => start = index,
            // Has its answer, and need not be sent.
            Outcome::Refused(_) => {}
            // Sent again it is stored once at most, and what follows it has answers.
            Outcome::Unknown => {
                start = index;
                break;
            }
            Outcome::Stored(_) => break,
        }
    }
    let before = outcomes.get(..start).unwrap_or_default();
    match before.iter().any(|o| matches!(o, Outcome::Unknown)) {
        true => outcomes.len(),
        false => start,
    }
}

impl Shared {
    /// Appends records in their order.
    pub(crate) async fn append(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Stored, BrokerError>>, BrokerError> {
        let started = std::time::Instant::now();
        let deadline = Instant::now() + self.timeout;
        // With no connection for the whole time nothing is sent, and nothing will be later.
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

    fn outgoing(&self, record: &NewRecord) -> Outgoing {
        let key = record.idempotency_key.as_deref();
        let id = match key {
            Some(key) => name::message_id(&record.topic, key),
            None => self.ids.next(),
        };
        Outgoing {
            subject: format!("{}.{}", self.prefix(), name::encode(&record.topic)),
            headers: record::headers(record, &id),
            event: record.event.clone(),
        }
    }

    /// Sends what follows `first` and has no final answer, and collects answers until all are there or it is too late.
    async fn send(
        &self,
        outgoing: &[Outgoing],
        first: usize,
        outcomes: &mut [Outcome],
        until: Instant,
    ) {
        let client = self.link.client();
        let Ok(generation) = self.link.current() else {
            return;
        };
        // An inbox of this round's own: an answer that comes too late finds nobody.
        let inbox = client.new_inbox();
        let Ok(mut answers) = client.subscribe(format!("{inbox}.*")).await else {
            return;
        };
        let mut awaited = 0_usize;
        for (index, (record, outcome)) in
            outgoing.iter().zip(&mut *outcomes).enumerate().skip(first)
        {
            if matches!(outcome, Outcome::Stored(_) | Outcome::Refused(_)) {
                continue;
            }
            let sent = client.publish_with_reply_and_headers(
                record.subject.clone(),
                format!("{inbox}.{index}"),
                record.headers.clone(),
                record.event.clone(),
            );
            let sent = tokio::select! {
                biased;
                sent = sent => sent,
                // The client takes no more: the socket is stuck. The rest is not sent.
                () = sleep_until(until) => {
                    *outcome = Outcome::Failed(ApiError::TimedOut.into());
                    continue;
                }
            };
            match sent {
                Ok(()) => {
                    *outcome = Outcome::Unknown;
                    awaited += 1;
                }
                Err(error) => {
                    *outcome = match error.kind() {
                        PublishErrorKind::Send => Outcome::Failed(ApiError::NotConnected.into()),
                        PublishErrorKind::MaxPayloadExceeded => {
                            Outcome::Refused(too_large(client.max_payload()))
                        }
                        PublishErrorKind::InvalidSubject => Outcome::Refused(BrokerError::refused(
                            "the topic is no subject of NATS",
                        )),
                    };
                }
            }
        }
        let mut until = until;
        let mut is_same = true;
        while awaited > 0 {
            tokio::select! {
                biased;
                answer = answers.next() => {
                    let Some(answer) = answer else { return };
                    let Some(index) = index_of(&answer, outcomes.len()) else { continue };
                    if matches!(outcomes[index], Outcome::Unknown) {
                        outcomes[index] = self.outcome_of(&answer);
                        awaited -= 1;
                    }
                }
                () = sleep_until(until) => return,
                // What was sent is lost, or was not sent yet and will be with the next connection, or its answer is
                // lost. A moment after the reconnect no more answers come.
                error = self.link.lost(generation), if is_same => {
                    is_same = false;
                    if matches!(error, ApiError::ShutDown) || self.link.connected(until).await.is_err() {
                        return;
                    }
                    until = until.min(Instant::now() + GRACE);
                }
            }
        }
    }

    fn outcome_of(&self, answer: &Message) -> Outcome {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Outcome::Failed(ApiError::NoResponders.into());
        }
        match api::parse::<PublishAck>(&answer.payload) {
            Ok(ack) if ack.stream == self.stream() => Outcome::Stored(ack),
            Ok(ack) => Outcome::Refused(BrokerError::refused(format!(
                "stream {:?} took the record: its subjects overlap with those of {:?}",
                ack.stream,
                self.stream()
            ))),
            Err(error) if error.is_fault(Fault::MESSAGE_TOO_LARGE) => {
                Outcome::Refused(BrokerError::refused(error.to_string()))
            }
            Err(error) => Outcome::Failed(error.into()),
        }
    }

    /// What the caller is told.
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
            // Numbers that were given out before: it is another stream, or one that lost its end.
            match self.look().await {
                Ok(state) => epoch = state.bounds.epoch,
                Err(error) => tracing::warn!(%error, "a stream that began anew does not answer"),
            }
        }
        let mut answers = Vec::with_capacity(records.len());
        for (record, outcome) in records.iter().zip(outcomes) {
            answers.push(match outcome {
                Outcome::Stored(ack) => {
                    self.heard_of(epoch, ack.seq);
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
            // A record that was trimmed since has no tag any more, and its cursor leads to a gap with any.
            if let Some(message) = self.get(ack.seq).await? {
                tag = record::of_raw(&message, self.prefix()).tag;
            }
            // Sent again, the record may be known from the time before.
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

    /// Stores a record that belongs to nobody, so that the log's newest record is never removed for its age. Several
    /// nodes that do so at once store one.
    pub(crate) async fn mark(&self, bounds: Bounds) -> Result<(), BrokerError> {
        let deadline = Instant::now() + self.timeout;
        let record = record::marker(fastrand::u32(..));
        let id = format!("marker.{:x}.{}", bounds.epoch.0, bounds.head);
        let outgoing = [Outgoing {
            subject: format!("{}.{}", self.prefix(), name::encode(&record.topic)),
            headers: record::headers(&record, &id),
            event: record.event,
        }];
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

fn too_large(max_payload: usize) -> BrokerError {
    BrokerError::refused(format!(
        "the event is larger than the NATS server takes: max_payload is {max_payload} bytes, headers included"
    ))
}

fn index_of(answer: &Message, len: usize) -> Option<usize> {
    let index = answer.subject.rsplit('.').next()?.parse().ok()?;
    (index < len).then_some(index)
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
    use super::*;

    fn outcomes(letters: &str) -> Vec<Outcome> {
        let outcome = |letter| match letter {
            'u' => Outcome::Unknown,
            'f' => Outcome::Failed(BrokerError::unavailable("")),
            'r' => Outcome::Refused(BrokerError::refused("")),
            _ => Outcome::Stored(PublishAck {
                stream: String::new(),
                seq: 1,
                duplicate: false,
            }),
        };
        letters.chars().map(outcome).collect()
    }

    #[test]
    fn only_what_cannot_overtake_is_sent_again() {
        for (known, from) in [
            ("", 0),
            ("s", 1),
            ("u", 0),
            ("f", 0),
            ("r", 1),
            // The end has its answers, and none of them is a place.
            ("ssff", 2),
            ("ssfrf", 2),
            ("ssuf", 2),
            ("su", 1),
            // Something may still be under way before or behind.
            ("uu", 2),
            ("usf", 3),
            ("uf", 0),
            ("fu", 1),
            ("us", 2),
            ("fs", 2),
            ("ufuf", 4),
        ] {
            assert_eq!(repeat_from(&outcomes(known)), from, "{known}");
        }
    }

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

    #[test]
    fn message_ids_never_repeat() {
        let (ids, other) = (MessageIds::new(), MessageIds::new());
        assert_ne!(ids.next(), ids.next());
        assert_ne!(ids.prefix, other.prefix);
        assert!(ids.next().contains('.') && !name::message_id("t", "k").contains('.'));
    }
}
