//! What a body has before its first poll: the first items of its producer, or the early error that replaces the response.

use std::future::poll_fn;
use std::task::Poll;

use axum::BoxError;
use tokio::time::Instant;

use super::EventBody;
use crate::lifecycle::CloseReason;
use crate::send::producer::EventProducer;

/// Bytes that wait for the first poll. An idle stream has none, and then this is one pointer.
#[derive(Default)]
#[expect(
    clippy::box_collection,
    reason = "nearly no stream has any, and a pointer is a third of a list"
)]
pub(super) struct Primed(Option<Box<Vec<u8>>>);

impl Primed {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(bytes)))
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.take().map(|bytes| *bytes).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl EventBody {
    /// Polls the producer until there is a first item, at most for the head's wait.
    ///
    /// # Errors
    ///
    /// The producer failed before its first event: the response can still have a real status.
    pub(crate) async fn prime(&mut self) -> Result<(), BoxError> {
        // A subscription has no early errors.
        if let Some(EventProducer::Subscription(_)) = self.producer {
            return Ok(());
        }
        let before = self.primed.len();
        let wait = self.machine.options().head_wait;
        let mut failed = None;
        let first = poll_fn(|cx| {
            let mut out = self.primed.take();
            failed = self.fill(cx, Instant::now(), &mut out);
            self.primed = Primed::of(out);
            if failed.is_some() || self.primed.len() > before || !self.machine.is_open() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // An elapsed wait is no failure: the head goes out without a first item.
        let _ = tokio::time::timeout(wait, first).await;
        match failed {
            None => Ok(()),
            Some(error) if self.primed.len() == before => {
                self.guard.close_for(CloseReason::Error);
                self.machine.abandon();
                self.primed = Primed::default();
                Err(error)
            }
            Some(error) => {
                let mut out = self.primed.take();
                self.fail(&error, Instant::now(), &mut out);
                self.primed = Primed::of(out);
                Ok(())
            }
        }
    }
}
