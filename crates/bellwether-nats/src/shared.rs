//! [`Shared`]: what all parts of a broker use: the link, the stream's name, what is known of the stream.

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

/// How often an answer is asked for again that only a cluster in disorder gives.
pub(crate) const AGAIN: u32 = 4;
/// And after which pause.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) wanted: Arc<Wanted>,
    /// How long a call takes at most.
    pub(crate) timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ids: MessageIds,
    pub(crate) idle: Idle,
    /// Guards which messages are missing; held while that is found out.
    pub(crate) swept: tokio::sync::Mutex<Swept>,
    /// Guards what was last heard of the stream.
    known: Mutex<Known>,
}

/// What was last heard of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: Epoch,
    pub(crate) head: u64,
}

/// The stream's state, as one answer tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) bounds: Bounds,
    /// How long records live; zero for ever.
    pub(crate) max_age: Duration,
    /// Whether several servers have it, of which one that lags may answer.
    is_clustered: bool,
}

impl State {
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

    /// Whether all records have gone: then nothing is left by which a reader could prove its place.
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
            known: Mutex::new(Known {
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

    pub(crate) fn known(&self) -> Known {
        *self.lock()
    }

    /// Notes that there is a record at this offset.
    pub(crate) fn heard_of(&self, epoch: Epoch, offset: u64) {
        let mut known = self.lock();
        if known.epoch == epoch {
            known.head = known.head.max(offset);
        }
    }

    /// A panic while the lock is held cannot leave a number half written.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the stream, and makes it if it is not there.
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

    /// The stream's present state, once it is certain that it still can hold a log.
    pub(crate) async fn look(&self) -> Result<State, BrokerError> {
        let mut state = self.look_once().await?;
        if state.is_bare() {
            self.mark(state.bounds).await?;
            state = self.look_once().await?;
            if state.is_bare() {
                return Err(BrokerError::unavailable(
                    "all records have gone, and no new one could be stored",
                ));
            }
        }
        let known = self.known();
        for _ in 0..AGAIN {
            let bounds = state.bounds;
            if !state.is_clustered || bounds.epoch != known.epoch || bounds.head.low() >= known.head
            {
                break;
            }
            // It lost its end, or a server answered that no longer leads and does not know it yet.
            tokio::time::sleep(AGAIN_AFTER).await;
            state = self.look_once().await?;
        }
        *self.lock() = Known {
            epoch: state.bounds.epoch,
            head: state.bounds.head.low(),
        };
        Ok(state)
    }

    async fn look_once(&self) -> Result<State, BrokerError> {
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
        Ok(State::of(&info))
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
