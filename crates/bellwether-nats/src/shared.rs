//! [`Shared`]: what all parts of a broker use: the link, the stream's name, what was last seen of the stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_topics::broker::{Bounds, BrokerError};
use bellwether_topics::{Epoch, Offset};
use bytes::Bytes;
use serde_json::json;

use crate::api::{ApiError, Fault, GetAnswer, RawMessage, StreamInfo};
use crate::link::Link;
use crate::message_ids::MessageIds;
use crate::name;
use crate::observe::Metrics;
use crate::pages::Idle;
use crate::settings::{self, Wanted};
use crate::sweep::Swept;

/// How often a request is repeated after a response that only a cluster in disorder gives.
pub(crate) const MAX_RETRIES: u32 = 4;
/// The pause before that.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) wanted: Arc<Wanted>,
    /// The maximum time of a call.
    pub(crate) timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ids: MessageIds,
    pub(crate) idle: Idle,
    /// Guards which messages are missing; held during a sweep.
    pub(crate) swept: tokio::sync::Mutex<Swept>,
    /// Guards what was last seen of the stream.
    known: Mutex<LastSeen>,
}

/// What was last seen of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastSeen {
    pub(crate) epoch: Epoch,
    pub(crate) head: u64,
}

/// The stream's state in one response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamView {
    pub(crate) bounds: Bounds,
    /// The maximum age of records; zero for none.
    pub(crate) max_age: Duration,
    /// Whether several servers have the stream, of which one that lags may respond.
    is_clustered: bool,
}

impl StreamView {
    fn of(info: &StreamInfo) -> Self {
        let state = &info.state;
        let floor = match state.messages {
            0 => state.last_seq,
            _ => state.first_seq.saturating_sub(1),
        };
        let bounds = Bounds {
            epoch: Epoch(name::epoch_bits(&info.config.name, &info.created)),
            floor: Offset::new(floor),
            head: Offset::new(state.last_seq),
        };
        Self {
            bounds,
            max_age: Duration::from_nanos(info.config.max_age),
            is_clustered: info.config.num_replicas > 1,
        }
    }

    /// Whether all records are gone, so that no reader could prove its position.
    fn is_bare(&self) -> bool {
        self.bounds.floor == self.bounds.head && self.bounds.head != Offset::ZERO
    }
}

impl Shared {
    pub(crate) fn new(
        link: Link,
        wanted: Wanted,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            link: Arc::new(link),
            wanted: Arc::new(wanted),
            timeout,
            metrics,
            ids: MessageIds::new(),
            idle: Idle::default(),
            swept: tokio::sync::Mutex::default(),
            known: Mutex::new(LastSeen {
                epoch: Epoch(0),
                head: 0,
            }),
        }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.wanted.stream
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.wanted.subject_prefix
    }

    pub(crate) fn known(&self) -> LastSeen {
        *self.lock()
    }

    /// Keeps that there is a record at this offset.
    pub(crate) fn note_record(&self, epoch: Epoch, offset: u64) {
        let mut known = self.lock();
        if known.epoch == epoch {
            known.head = known.head.max(offset);
        }
    }

    /// A panic while the lock is held cannot leave a number half written.
    fn lock(&self) -> MutexGuard<'_, LastSeen> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the stream's configuration and state, and creates the stream if it does not exist.
    pub(crate) async fn info(&self) -> Result<StreamInfo, ApiError> {
        let what = format!("STREAM.INFO.{}", self.stream());
        match self.link.ask(&what, Bytes::new()).await {
            Err(error) if error.is_fault(Fault::STREAM_NOT_FOUND) => {}
            answer => return answer,
        }
        let create = format!("STREAM.CREATE.{}", self.stream());
        let request = Bytes::from(self.wanted.create().to_string());
        match self.link.ask(&create, request).await {
            // Another node was faster, with other settings.
            Err(error) if error.is_fault(Fault::STREAM_NAME_IN_USE) => {
                self.link.ask(&what, Bytes::new()).await
            }
            answer => answer,
        }
    }

    /// The stream's present state, after a check that the stream can still hold a log.
    pub(crate) async fn fetch_state(&self) -> Result<StreamView, BrokerError> {
        let mut state = self.fetch_state_once().await?;
        if state.is_bare() {
            self.mark(state.bounds).await?;
            state = self.fetch_state_once().await?;
            if state.is_bare() {
                return Err(BrokerError::unavailable(
                    "all records are gone, and no new one could be stored",
                ));
            }
        }
        let known = self.known();
        for _ in 0..MAX_RETRIES {
            let bounds = state.bounds;
            if !state.is_clustered || bounds.epoch != known.epoch || bounds.head.low() >= known.head
            {
                break;
            }
            // The stream lost its end, or a server responded that no longer leads and does not know it yet.
            tokio::time::sleep(RETRY_PAUSE).await;
            state = self.fetch_state_once().await?;
        }
        *self.lock() = LastSeen {
            epoch: state.bounds.epoch,
            head: state.bounds.head.low(),
        };
        Ok(state)
    }

    async fn fetch_state_once(&self) -> Result<StreamView, BrokerError> {
        let info = self.info().await?;
        let max_payload = self.link.client().max_payload();
        let faults = settings::faults(&info.config, &self.wanted.subject(), max_payload);
        if !faults.is_empty() {
            let message = format!(
                "stream {:?} can no longer hold a log: {}",
                self.stream(),
                faults.join("; ")
            );
            return Err(BrokerError::unavailable(message));
        }
        Ok(StreamView::of(&info))
    }

    /// The message at an offset, if it exists, from the stream's leader.
    pub(crate) async fn get(&self, offset: u64) -> Result<Option<RawMessage>, ApiError> {
        let what = format!("STREAM.MSG.GET.{}", self.stream());
        let request = Bytes::from(json!({ "seq": offset }).to_string());
        match self.link.ask::<GetAnswer>(&what, request).await {
            Ok(answer) => Ok(Some(answer.message)),
            Err(error) if error.is_fault(Fault::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
