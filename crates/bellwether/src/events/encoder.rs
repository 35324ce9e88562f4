//! From a handler's stream to an event producer: items are encoded as they come, and a subscription is kept.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use bellwether_topics::{Delivery, GAP_EVENT_NAME, Subscription};
use futures_core::Stream;
use pin_project_lite::pin_project;

use super::item::{EventBuffer, IntoEvent};
use crate::lifecycle::take_stop_checked;
use crate::send::{EventEncoder, EventProducer, FillReport, FillStatus};

/// The producer of any stream of a handler; a subscription stays what it is.
pub(super) fn producer_of<S>(stream: S) -> EventProducer
where
    S: Stream + Send + 'static,
    S::Item: IntoEvent,
{
    if TypeId::of::<S>() != TypeId::of::<Subscription>() {
        return EventProducer::Generator(Box::pin(StreamEncoder { stream }), None);
    }
    let stream: Box<dyn Any> = Box::new(stream);
    let subscription = stream.downcast::<Subscription>();
    EventProducer::Subscription(*subscription.expect("the type was compared"))
}

pin_project! {
    /// A stream of items as a producer.
    struct StreamEncoder<S> {
        #[pin]
        stream: S,
    }
}

impl<S> EventEncoder for StreamEncoder<S>
where
    S: Stream + Send,
    S::Item: IntoEvent,
{
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> FillReport {
        let mut stream = self.project().stream;
        let mut events = 0;
        take_stop_checked();
        let status = loop {
            if out.len() >= limit {
                break FillStatus::Full;
            }
            match stream.as_mut().poll_next(cx) {
                Poll::Pending => break FillStatus::Waiting,
                Poll::Ready(None) => break FillStatus::Ended,
                Poll::Ready(Some(item)) => match item.write_to(&mut EventBuffer::new(out)) {
                    Ok(()) => events += 1,
                    Err(error) => break FillStatus::Failed(error),
                },
            }
        };
        FillReport {
            status,
            events,
            stop_checked: take_stop_checked(),
        }
    }

    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        /// A generator that never waits gives way to others after this many items.
        const ITEMS_PER_POLL: usize = 64;
        let mut stream = self.project().stream;
        for _ in 0..ITEMS_PER_POLL {
            match stream.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
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
