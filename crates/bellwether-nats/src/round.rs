//! One round: records are published in order, and their responses collected until a deadline.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bellwether_topics::broker::NewRecord;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::api::ApiError;
use crate::name;
use crate::outcome::Outcome;
use crate::record;
use crate::shared::Shared;

/// How long after a reconnect a response to an earlier record may take.
const GRACE: Duration = Duration::from_millis(250);

/// A record as it is sent.
pub(crate) struct Outgoing {
    subject: String,
    headers: HeaderMap,
    event: Bytes,
}

impl Outgoing {
    /// The record in the stream whose subjects begin with this prefix, under this message id.
    pub(crate) fn new(record: &NewRecord, message_id: &str, prefix: &str) -> Self {
        Self {
            subject: format!("{prefix}.{}", name::encode(&record.topic)),
            headers: record::headers(record, message_id),
            event: record.event.clone(),
        }
    }
}

impl Shared {
    /// Sends the records from `first` on without a final outcome, and collects responses until all have come or the
    /// deadline.
    pub(crate) async fn send(
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
        // An inbox of this round's own, so that a response that comes too late is dropped.
        let inbox = client.new_inbox();
        let Ok(mut answers) = client.subscribe(format!("{inbox}.*")).await else {
            return;
        };
        let mut awaited = 0_usize;
        for (index, (record, outcome)) in
            outgoing.iter().zip(&mut *outcomes).enumerate().skip(first)
        {
            if outcome.is_final() {
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
                // The client accepts no more because the socket is stuck. The rest is not sent.
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
                Err(error) => *outcome = Outcome::of_unsent(error.kind(), client.max_payload()),
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
                        outcomes[index] = Outcome::of_answer(&answer, self.stream());
                        awaited -= 1;
                    }
                }
                () = sleep_until(until) => return,
                // What was sent is lost, or its response is lost, or it was not sent yet and will be with the next
                // connection. A moment after the reconnect no more responses come.
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
}

fn index_of(answer: &Message, len: usize) -> Option<usize> {
    let index = answer.subject.rsplit('.').next()?.parse().ok()?;
    (index < len).then_some(index)
}
