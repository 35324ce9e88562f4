//! Single requests for a small number of records of one topic: what a reader of a quiet topic needs when it comes back.
//!
//! A consumer costs the server more than the response that nothing is new, and many readers come back at once after a
//! restart. A reader that has more to read gets a consumer.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{BrokerError, Newest, ReadRequest, Record};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::api::{ApiError, Fault, GetAnswer, RawMessage};
use crate::name;
use crate::record;
use crate::shared::Shared;

/// The most records that are requested one by one.
const MAX_RECORDS: usize = 8;
/// The number of topics that are requested at once.
const MAX_CONCURRENT: usize = 16;

impl Shared {
    /// The record at the request's offset and all those of the topic after it; `None` if there are more than
    /// [`MAX_RECORDS`], or the request has several topics.
    pub(crate) async fn read_one_by_one(
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

    /// The newest record of each topic, [`MAX_CONCURRENT`] at once, and then the stream's state, once for all of them.
    pub(crate) async fn newest(&self, topics: &[Arc<str>]) -> Result<Newest, BrokerError> {
        let epoch = self.known().epoch;
        let asked = topics.iter().cloned();
        let asked = asked.map(|topic| async move { self.newest_of(&topic).await });
        let mut records: Vec<_> = stream::iter(asked)
            .buffered(MAX_CONCURRENT)
            .try_collect()
            .await?;
        let state = self.fetch_state().await?;
        if state.bounds.epoch != epoch {
            return Err(BrokerError::unavailable(
                "the stream was replaced while it was read",
            ));
        }
        // A message that the server has lost after it may have been of the same topic.
        let oldest = records.iter().flatten().map(|(offset, _)| offset.low());
        if let Some(oldest) = oldest.min() {
            let last_lost = self.last_lost(state.bounds, oldest).await?;
            let is_certain = |(offset, _): &(Offset, u32)| last_lost < Some(offset.low());
            records = records
                .into_iter()
                .map(|record| record.filter(is_certain))
                .collect();
        }
        Ok(Newest {
            epoch,
            head: state.bounds.head,
            records,
        })
    }

    async fn newest_of(&self, topic: &Arc<str>) -> Result<Option<(Offset, u32)>, ApiError> {
        let request = json!({ "last_by_subj": self.subject_of(topic) });
        let message = self.ask_for(&request).await?;
        let record = message.map(|message| record::of_raw(&message, self.prefix()));
        let record = record.filter(|record| record.topic == *topic && !record.is_damaged);
        Ok(record.map(|record| (record.offset, record.tag)))
    }

    /// The first message of a topic at an offset or after it, from the stream's leader.
    async fn next_of(&self, topic: &Arc<str>, offset: u64) -> Result<Option<RawMessage>, ApiError> {
        let subject = self.subject_of(topic);
        self.ask_for(&json!({ "seq": offset, "next_by_subj": subject }))
            .await
    }

    fn subject_of(&self, topic: &str) -> String {
        format!("{}.{}", self.prefix(), name::encode(topic))
    }

    async fn ask_for(&self, message: &Value) -> Result<Option<RawMessage>, ApiError> {
        let what = format!("STREAM.MSG.GET.{}", self.stream());
        let request = Bytes::from(message.to_string());
        match self.link.ask::<GetAnswer>(&what, request).await {
            Ok(answer) => Ok(Some(answer.message)),
            Err(error) if error.is_fault(Fault::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
