//! Few records of one topic, each asked for on its own: what a reader of a quiet topic wants when it comes back.
//!
//! A consumer costs the server more than the answer that nothing is new, and many readers come back at once after a
//! restart. One that has more to read than this gets a consumer.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{ReadRequest, Record};
use bytes::Bytes;
use serde_json::json;

use crate::api::{ApiError, Fault, GetAnswer, RawMessage};
use crate::name;
use crate::record;
use crate::shared::Shared;

/// The most records that are asked for one by one.
const MAX_RECORDS: usize = 8;

impl Shared {
    /// The record at the place and all those of the topic after it; `None` if they are many, or of several topics.
    pub(crate) async fn few(
        &self,
        request: &ReadRequest<'_>,
    ) -> Result<Option<Vec<Record>>, ApiError> {
        let Some([topic]) = request.topics else {
            return Ok(None);
        };
        let from = request.from.low();
        let mut records = Vec::new();
        if request.from != Offset::ZERO {
            let anchor = self.get(from).await?;
            records.extend(anchor.map(|message| record::of_raw(&message, self.prefix())));
        }
        let mut next = from.saturating_add(1);
        let mut bytes = 0;
        for _ in 0..=MAX_RECORDS {
            let Some(message) = self.next_of(topic, next).await? else {
                return Ok(Some(records));
            };
            next = message.seq.saturating_add(1);
            let record = record::of_raw(&message, self.prefix());
            bytes += record.event.len();
            if bytes > request.max_bytes || records.len() >= request.max_records {
                break;
            }
            records.push(record);
        }
        Ok(None)
    }

    /// The first message of a topic at an offset or after it, from the stream's leader.
    async fn next_of(&self, topic: &Arc<str>, offset: u64) -> Result<Option<RawMessage>, ApiError> {
        let what = format!("STREAM.MSG.GET.{}", self.stream());
        let subject = format!("{}.{}", self.prefix(), name::encode(topic));
        let request = json!({ "seq": offset, "next_by_subj": subject }).to_string();
        match self
            .link
            .ask::<GetAnswer>(&what, Bytes::from(request))
            .await
        {
            Ok(answer) => Ok(Some(answer.message)),
            Err(error) if error.is_fault(Fault::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
