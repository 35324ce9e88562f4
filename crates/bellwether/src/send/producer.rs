//! The producer of an event body's events: a generator's stream, or a subscription.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use bellwether_topics::{self as topics, Delivery, Resumption, Subscription, Taken};
use bellwether_wire::EventName;

use crate::stream::{CloseReason, StreamError, SubscriptionEnd};

/// How a fill of the buffer ended.
#[derive(Debug)]
pub(crate) enum FillStatus {
    /// The producer waits; it will wake the task.
    Waiting,
    /// The buffer holds enough; there may be more at once.
    Full,
    /// The producer has come to its end.
    Ended,
    /// The subscription behind the producer was closed.
    Closed(SubscriptionEnd),
    /// The producer has failed; it is not polled again.
    Failed(StreamError),
}

/// The result of one fill.
#[derive(Debug)]
pub(crate) struct FillReport {
    /// How it ended.
    pub(crate) status: FillStatus,
    /// Events appended to the buffer.
    pub(crate) events: u64,
    /// Whether the generator asked whether a stop has begun.
    pub(crate) stop_checked: bool,
}

/// A stream of items that encode themselves. One virtual call fills a whole buffer.
pub(crate) trait EventEncoder: Send {
    /// Appends encoded events to `out` until the producer waits or `out` holds `limit` bytes.
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> FillReport;

    /// Polls on and drops all items; ready when the producer has ended.
    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A generator or a subscription.
pub(crate) enum EventProducer {
    /// A generator's stream, and the position at which subscriptions begin that it reads itself.
    Generator(Pin<Box<dyn EventEncoder>>, Option<Resumption>),
    Subscription(Subscription),
}

impl EventProducer {
    /// Starts the stream behind the last event of its client.
    pub(crate) fn resume(&mut self, resumption: Resumption) {
        match self {
            Self::Generator(_, within) => *within = Some(resumption),
            Self::Subscription(subscription) => subscription.resume(&resumption),
        }
    }

    /// Fills from the subscription. Where a shard follows the topics (`is_watched`), no waker is left with them.
    pub(super) fn poll_subscription(
        subscription: &mut Subscription,
        cx: &mut Context<'_>,
        is_watched: bool,
        gap_name: Option<&EventName>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> FillReport {
        let mut events = 0;
        let status = with_deliveries(|deliveries| {
            while out.len() < limit {
                let room = limit - out.len();
                let taken = match is_watched {
                    true => subscription.try_frames(room, deliveries),
                    false => Taken::NeedsPoll,
                };
                let taken = match taken {
                    Taken::NeedsPoll => match subscription.poll_frames(cx, room, deliveries) {
                        Poll::Pending => Taken::CaughtUp,
                        Poll::Ready(None) => Taken::Closed,
                        Poll::Ready(Some(count)) => Taken::Some(count),
                    },
                    taken => taken,
                };
                match taken {
                    Taken::Some(_) => {
                        for delivery in deliveries.drain(..) {
                            events += u64::from(write(&delivery, gap_name, out));
                        }
                    }
                    Taken::Closed => return FillStatus::Closed(end_of(subscription)),
                    _ => return FillStatus::Waiting,
                }
            }
            FillStatus::Full
        });
        FillReport {
            status,
            events,
            stop_checked: false,
        }
    }
}

/// Appends a delivery; whether it made an event.
fn write(delivery: &Delivery, gap_name: Option<&EventName>, out: &mut Vec<u8>) -> bool {
    if let Some(frame) = delivery.frame() {
        out.extend_from_slice(frame.as_bytes());
        return true;
    }
    match (delivery.gap(), gap_name) {
        // Text data and a checked id always encode.
        (Some(gap), Some(name)) => gap.to_event(name.clone()).encode_into(out).is_ok(),
        _ => false,
    }
}

/// How a closed subscription ends its stream.
fn end_of(subscription: &Subscription) -> SubscriptionEnd {
    let reason = match subscription.close_reason() {
        Some(topics::CloseReason::TooSlow) => CloseReason::TooSlow,
        Some(topics::CloseReason::Kicked) => CloseReason::Kicked,
        Some(topics::CloseReason::Expired) => CloseReason::Expired,
        Some(topics::CloseReason::Stopping) => CloseReason::Stopping,
        // A gap that ends the stream, and reasons that this version does not know.
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
