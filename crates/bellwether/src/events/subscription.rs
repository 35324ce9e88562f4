//! A subscription as a source: events that are encoded already are copied into the buffer as they are.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bellwether_topics::{self as topics, Delivery, GAP_EVENT_NAME, Gap, Subscription};
use bellwether_wire::EventName;
use futures_core::Stream;

use super::item::{EventBuffer, IntoEvent};
use super::retry::write_retry;
use super::source::{Filled, Filling, Source, StreamSource};
use crate::lifecycle::{CloseReason, DrainPlan};

/// The source of any stream of a handler; a subscription gets its own.
pub(super) fn source_of<S>(stream: S) -> Pin<Box<dyn Source>>
where
    S: Stream + Send + 'static,
    S::Item: IntoEvent,
{
    if TypeId::of::<S>() != TypeId::of::<Subscription>() {
        return Box::pin(StreamSource::new(stream));
    }
    let stream: Box<dyn Any> = Box::new(stream);
    let subscription = stream.downcast::<Subscription>();
    let subscription = *subscription.expect("the type was compared");
    resumed_source(subscription, Some(GAP_EVENT_NAME))
}

/// The source of a subscription that tells its gaps by this name.
pub(super) fn resumed_source(
    subscription: Subscription,
    gap_name: Option<EventName>,
) -> Pin<Box<dyn Source>> {
    Box::pin(SubscriptionSource {
        subscription: Some(subscription),
        gap_name,
    })
}

/// A subscription as a source of encoded events.
struct SubscriptionSource {
    /// Taken by the delivery engine, or dropped at the end.
    subscription: Option<Subscription>,
    gap_name: Option<EventName>,
}

impl Source for SubscriptionSource {
    fn poll_fill(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Filling {
        let this = &mut *self;
        let mut events = 0;
        let filled = with_deliveries(|deliveries| {
            loop {
                let Some(subscription) = &mut this.subscription else {
                    return Filled::Ended;
                };
                if out.len() >= limit {
                    return Filled::Full;
                }
                match subscription.poll_frames(cx, limit - out.len(), deliveries) {
                    Poll::Pending => return Filled::Waiting,
                    Poll::Ready(None) => {
                        let end = Filled::Closed(end_of(subscription));
                        this.subscription = None;
                        return end;
                    }
                    Poll::Ready(Some(_)) => {
                        for delivery in deliveries.drain(..) {
                            events += u64::from(write(&delivery, this.gap_name.as_ref(), out));
                        }
                    }
                }
            }
        });
        Filling {
            filled,
            events,
            asked: false,
        }
    }

    /// Nothing of a subscription runs on after its client.
    fn poll_discard(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.subscription = None;
        Poll::Ready(())
    }

    fn subscription(self: Pin<&mut Self>) -> Option<&mut Option<Subscription>> {
        Some(&mut self.get_mut().subscription)
    }

    fn name_gaps(mut self: Pin<&mut Self>, name: Option<&EventName>) {
        self.gap_name = name.cloned();
    }
}

/// Appends a delivery; whether it made an event.
pub(crate) fn write(delivery: &Delivery, gap_name: Option<&EventName>, out: &mut Vec<u8>) -> bool {
    if let Some(frame) = delivery.frame() {
        out.extend_from_slice(frame.as_bytes());
        return true;
    }
    match (delivery.gap(), gap_name) {
        (Some(gap), Some(name)) => write_gap(gap, name, out),
        _ => false,
    }
}

/// Appends a gap as an event.
pub(crate) fn write_gap(gap: &Gap, name: &EventName, out: &mut Vec<u8>) -> bool {
    // Text data and a checked id always encode.
    gap.to_event(name.clone()).encode_into(out).is_ok()
}

/// How a stream ends whose subscription was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscriptionEnd {
    pub(crate) reason: CloseReason,
    /// What the client is told; if nothing, it keeps to what it was told before.
    pub(crate) retry: Option<Duration>,
}

impl SubscriptionEnd {
    /// Appends when to come back, if that is to be said.
    pub(crate) fn write(&self, plan: Option<&DrainPlan>, out: &mut Vec<u8>) {
        let of_plan = || plan.map(DrainPlan::retry);
        if let Some(delay) = self.retry.or_else(of_plan) {
            write_retry(out, delay);
        }
    }
}

/// How a closed subscription ends its stream.
pub(crate) fn end_of(subscription: &Subscription) -> SubscriptionEnd {
    let reason = match subscription.close_reason() {
        Some(topics::CloseReason::TooSlow) => CloseReason::TooSlow,
        Some(topics::CloseReason::Kicked) => CloseReason::Kicked,
        Some(topics::CloseReason::Expired) => CloseReason::Expired,
        Some(topics::CloseReason::Stopping) => CloseReason::Stopping,
        // The gap after which it was to end, and what is yet to be invented.
        _ => CloseReason::Finished,
    };
    SubscriptionEnd {
        reason,
        retry: subscription.retry_delay(),
    }
}

/// Lends a list of this thread, so that an idle subscription holds none.
fn with_deliveries<R>(f: impl FnOnce(&mut Vec<Delivery>) -> R) -> R {
    thread_local! {
        static DELIVERIES: RefCell<Vec<Delivery>> = const { RefCell::new(Vec::new()) };
    }
    let mut deliveries = DELIVERIES.take();
    let result = f(&mut deliveries);
    deliveries.clear();
    DELIVERIES.set(deliveries);
    result
}

impl IntoEvent for Delivery {
    /// Appends the event as it stands in the log, or the gap under its usual name.
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        match &self {
            Delivery::Event(frame) => {
                buffer.push_encoded(frame.as_bytes());
                Ok(())
            }
            Delivery::Gap(gap) => buffer.push(&gap.to_event(GAP_EVENT_NAME)),
            // A kind that this version does not know is nothing to send.
            _ => Ok(()),
        }
    }
}
