//! Sources: a stream of items, polled until it waits or a buffer is full.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use bellwether_topics::Subscription;
use bellwether_wire::EventName;
use futures_core::Stream;
use pin_project_lite::pin_project;

use super::item::{EventBuffer, IntoEvent};
use super::subscription::SubscriptionEnd;
use crate::lifecycle::take_asked;

/// How one filling of a buffer ended.
#[derive(Debug)]
pub(crate) enum Filled {
    /// The source waits; it will wake the task.
    Waiting,
    /// The buffer holds enough; there may be more at once.
    Full,
    /// The source has come to its end.
    Ended,
    /// The subscription behind the source was closed.
    Closed(SubscriptionEnd),
    /// The source has failed; it is not polled again.
    Failed(BoxError),
}

/// What one filling found.
#[derive(Debug)]
pub(crate) struct Filling {
    /// How it ended.
    pub(crate) filled: Filled,
    /// Events appended to the buffer.
    pub(crate) events: u64,
    /// Whether the generator asked whether a stop has begun.
    pub(crate) asked: bool,
}

/// A source of encoded events. One virtual call fills a whole buffer.
pub(crate) trait Source: Send {
    /// Appends encoded events to `out` until the source waits or `out` holds `limit` bytes.
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Filling;

    /// Polls on and throws away what comes; ready when the source has come to its end.
    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// The subscription, if the source is one. The delivery engine takes it out.
    fn subscription(self: Pin<&mut Self>) -> Option<&mut Option<Subscription>> {
        None
    }

    /// Sets the name under which gaps are told, `None` for not at all.
    fn name_gaps(self: Pin<&mut Self>, _: Option<&EventName>) {}
}

pin_project! {
    /// A stream of items as a source.
    pub(crate) struct StreamSource<S> {
        #[pin]
        stream: S,
    }
}

impl<S> StreamSource<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S> Source for StreamSource<S>
where
    S: Stream + Send,
    S::Item: IntoEvent,
{
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Filling {
        let mut stream = self.project().stream;
        let mut events = 0;
        take_asked();
        let filled = loop {
            if out.len() >= limit {
                break Filled::Full;
            }
            match stream.as_mut().poll_next(cx) {
                Poll::Pending => break Filled::Waiting,
                Poll::Ready(None) => break Filled::Ended,
                Poll::Ready(Some(item)) => match item.write_to(&mut EventBuffer::new(out)) {
                    Ok(()) => events += 1,
                    Err(error) => break Filled::Failed(error),
                },
            }
        };
        Filling {
            filled,
            events,
            asked: take_asked(),
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
