//! [`events_from`]: a stream written as a closure with a sender, for bodies too long for a macro.
//!
//! The closure's future lives inside the stream and is polled with the stream: no task, no
//! channel that fills up. One event at most is between the two, in a slot; `send` completes when it
//! has been taken and more is asked for, as a `yield` would. Dropping the stream drops the future
//! where it stands.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use axum::BoxError;
use futures_core::Stream;
use pin_project_lite::pin_project;

/// Makes a stream of what an async closure sends.
///
/// The closure gets an [`EventSender`] and returns `()` or nothing at all (an endless `loop`), or
/// `Result<(), BoxError>` in which `?` takes any error: the items are then `Result<T, BoxError>` and an error is the
/// last of them. The stream ends with the closure.
///
/// The closure runs only while the stream is polled, and no further than one event ahead of the reader. When the
/// stream is dropped, for example because the client has left, the closure's future is dropped at the `.await`
/// it stands at.
///
/// ```
/// use bellwether::{ServerSentEvent, events_from};
/// use futures_core::Stream;
///
/// fn numbers() -> impl Stream<Item = Result<ServerSentEvent, axum::BoxError>> {
///     events_from(|sender| async move {
///         for text in ["1", "2", "three"] {
///             let number: u32 = text.parse()?;
///             sender.send(ServerSentEvent::json(number)).await;
///         }
///         Ok(())
///     })
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let mut numbers = std::pin::pin!(numbers());
/// let mut items = Vec::new();
/// while let Some(item) = std::future::poll_fn(|cx| numbers.as_mut().poll_next(cx)).await {
///     items.push(item.is_ok());
/// }
/// assert_eq!(items, [true, true, false]);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn events_from<T, F, Fut>(closure: F) -> impl Stream<Item = <Fut::Output as Ending<T>>::Item>
where
    F: FnOnce(EventSender<T>) -> Fut,
    Fut: Future<Output: Ending<T>>,
{
    let slot = Arc::new(Mutex::new(SenderSlot::new()));
    let sender = EventSender {
        slot: Arc::clone(&slot),
    };
    EventsFrom {
        slot: SlotReceiver { slot },
        future: Some(closure(sender)),
        last: None,
    }
}

/// The sending end that the closure of [`events_from`] gets.
///
/// It may be used by several futures at once and may move to another task; the order of events is the order in
/// which the sends got the slot.
#[derive(Debug)]
pub struct EventSender<T> {
    slot: Arc<Mutex<SenderSlot<T>>>,
}

impl<T> EventSender<T> {
    /// Hands one event to the stream and waits until it was taken and the reader wants more.
    ///
    /// After the stream is gone it completes at once and the event is dropped. The closure itself never sees
    /// that, because it is dropped with the stream; a task that took the sender can ask [`is_closed`](Self::is_closed).
    ///
    /// Dropping the returned future before it was polled sends nothing; once polled, the event may have been
    /// handed over already.
    pub async fn send(&self, event: T) {
        let mut event = Some(event);
        let mut ticket = None;
        std::future::poll_fn(|cx| {
            let mut slot = lock(&self.slot);
            if slot.closed || ticket.is_some_and(|ticket| slot.taken > ticket) {
                return Poll::Ready(());
            }
            if slot.event.is_none() && ticket.is_none() {
                // Counts what was taken before this event, so a later count says that it was taken too.
                ticket = Some(slot.taken);
                slot.event = event.take();
                if let Some(reader) = slot.reader.take() {
                    reader.wake();
                }
            }
            slot.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Whether the stream is gone, so that nothing sent arrives anywhere.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.slot).closed
    }
}

/// What stands between the sender and the stream.
#[derive(Debug)]
struct SenderSlot<T> {
    event: Option<T>,
    /// How many events the stream has taken so far.
    taken: u64,
    closed: bool,
    /// Sends that wait for the slot.
    senders: Vec<Waker>,
    /// The stream's reader, while it waits: a sender on another task must wake it.
    reader: Option<Waker>,
}

impl<T> SenderSlot<T> {
    fn new() -> Self {
        Self {
            event: None,
            taken: 0,
            closed: false,
            senders: Vec::new(),
            reader: None,
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.senders.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.senders.push(cx.waker().clone());
        }
    }
}

/// The mutex guards one move of an event; nothing that can panic runs under it.
fn lock<T>(slot: &Mutex<SenderSlot<T>>) -> MutexGuard<'_, SenderSlot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream's hold on the slot: letting go closes it.
struct SlotReceiver<T> {
    slot: Arc<Mutex<SenderSlot<T>>>,
}

impl<T> SlotReceiver<T> {
    /// Takes the event if there is one, else leaves the reader's waker.
    fn take(&self, cx: &Context<'_>) -> Option<T> {
        let mut slot = lock(&self.slot);
        let Some(event) = slot.event.take() else {
            if slot
                .reader
                .as_ref()
                .is_none_or(|reader| !reader.will_wake(cx.waker()))
            {
                slot.reader = Some(cx.waker().clone());
            }
            return None;
        };
        slot.taken += 1;
        // A send right inside the closure is polled with the reader's own waker: the next poll of the
        // stream polls it anyway, so waking it would only cost a round.
        if slot.senders.iter().all(|waker| waker.will_wake(cx.waker())) {
            slot.senders.clear();
            return Some(event);
        }
        let senders = std::mem::take(&mut slot.senders);
        drop(slot);
        senders.into_iter().for_each(Waker::wake);
        Some(event)
    }

    /// Lets every send go, now and from now on.
    fn close(&self) {
        let mut slot = lock(&self.slot);
        slot.closed = true;
        let senders = std::mem::take(&mut slot.senders);
        let event = slot.event.take();
        // Wakers and events are foreign code: they run after the lock is free.
        drop(slot);
        drop(event);
        senders.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for SlotReceiver<T> {
    fn drop(&mut self) {
        self.close();
    }
}

pin_project! {
    struct EventsFrom<T, Fut>
    where
        Fut: Future,
        Fut::Output: Ending<T>,
    {
        slot: SlotReceiver<T>,
        #[pin]
        future: Option<Fut>,
        // The closure's error, kept back while its last event is delivered.
        last: Option<<Fut::Output as Ending<T>>::Item>,
    }
}

impl<T, Fut> Stream for EventsFrom<T, Fut>
where
    Fut: Future<Output: Ending<T>>,
{
    type Item = <Fut::Output as Ending<T>>::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(future) = this.future.as_mut().as_pin_mut()
            && let Poll::Ready(ending) = future.poll(cx)
        {
            this.future.set(None);
            *this.last = ending.into_last();
        }
        if let Some(event) = this.slot.take(cx) {
            return Poll::Ready(Some(<Fut::Output as Ending<T>>::item(event)));
        }
        if this.future.is_some() {
            return Poll::Pending;
        }
        this.slot.close();
        Poll::Ready(this.last.take())
    }
}

/// How a closure of [`events_from`] may end: with `()`, never, or with a result whose error is the last item.
#[diagnostic::on_unimplemented(
    message = "a closure of `events_from` cannot end with `{Self}`",
    note = "it returns `()`, or `Result<(), BoxError>`, which is what `Ok(())` as its last line means"
)]
pub trait Ending<T>: sealed::SealedEnding {
    /// The item of the stream.
    type Item;

    /// An event that was sent, as an item.
    #[doc(hidden)]
    fn item(event: T) -> Self::Item;

    /// The item that comes after everything that was sent.
    #[doc(hidden)]
    fn into_last(self) -> Option<Self::Item>;
}

mod sealed {
    pub trait SealedEnding {}
    impl SealedEnding for () {}
    impl SealedEnding for Result<(), axum::BoxError> {}
    impl SealedEnding for Never {}

    /// `!`, the type of a closure whose loop never ends, which stable Rust can name only as the output
    /// of a function.
    pub(super) type Never = <fn() -> ! as Returns>::Output;

    pub trait Returns {
        type Output;
    }

    impl<O> Returns for fn() -> O {
        type Output = O;
    }
}

impl<T> Ending<T> for sealed::Never {
    type Item = T;

    fn item(event: T) -> T {
        event
    }

    fn into_last(self) -> Option<T> {
        self
    }
}

impl<T> Ending<T> for () {
    type Item = T;

    fn item(event: T) -> T {
        event
    }

    fn into_last(self) -> Option<T> {
        None
    }
}

impl<T> Ending<T> for Result<(), BoxError> {
    type Item = Result<T, BoxError>;

    fn item(event: T) -> Self::Item {
        Ok(event)
    }

    fn into_last(self) -> Option<Self::Item> {
        self.err().map(Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<S: Stream>(stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
        stream.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn events_come_in_order_and_the_stream_ends_with_the_closure() {
        let mut stream = pin!(events_from(|sender| async move {
            for number in 1..=3 {
                sender.send(number).await;
            }
        }));
        for number in 1..=3 {
            assert_eq!(poll(stream.as_mut()), Poll::Ready(Some(number)));
        }
        assert_eq!(poll(stream.as_mut()), Poll::Ready(None));
        assert_eq!(
            poll(stream.as_mut()),
            Poll::Ready(None),
            "the end stays the end"
        );
    }

    #[test]
    fn the_closure_runs_at_most_one_event_ahead_of_the_reader() {
        let sent = AtomicUsize::new(0);
        let mut stream = pin!(events_from(async |sender: EventSender<()>| {
            loop {
                sender.send(()).await;
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }));
        for taken in 1..=5 {
            assert!(poll(stream.as_mut()).is_ready());
            assert_eq!(sent.load(Ordering::Relaxed), taken - 1);
        }
    }

    #[test]
    fn an_error_is_the_last_item_after_everything_sent() {
        let mut stream = pin!(events_from(|sender| async move {
            sender.send("first").await;
            // Handed over, but not waited for: it comes before the error all the same.
            let mut cx = Context::from_waker(Waker::noop());
            let mut second = pin!(sender.send("second"));
            assert!(second.as_mut().poll(&mut cx).is_pending());
            assert!(
                second.as_mut().poll(&mut cx).is_pending(),
                "it is not taken yet"
            );
            "x".parse::<u8>()?;
            Ok(())
        }));
        let mut items = Vec::new();
        while let Poll::Ready(Some(item)) = poll(stream.as_mut()) {
            items.push(item.map_err(|error| error.to_string()));
        }
        let invalid = "invalid digit found in string".to_owned();
        assert_eq!(items, [Ok("first"), Ok("second"), Err(invalid)]);
    }

    #[test]
    fn dropping_the_stream_drops_the_closures_future_where_it_stands() {
        let held = Arc::new(());
        let guard = Arc::clone(&held);
        let mut stream = Box::pin(events_from(|sender| async move {
            let _guard = guard;
            sender.send(()).await;
            std::future::pending::<()>().await;
        }));
        assert!(poll(stream.as_mut()).is_ready());
        assert!(poll(stream.as_mut()).is_pending());
        assert_eq!(Arc::strong_count(&held), 2);
        drop(stream);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_send_inside_the_closure_costs_no_wake() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut stream = pin!(events_from(|sender| async move {
            sender.send(1).await;
            sender.send(2).await;
        }));
        while let Poll::Ready(Some(_)) = stream.as_mut().poll_next(&mut Context::from_waker(&waker))
        {
        }
        // The first send causes no wake either, as no reader was waiting.
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn senders_on_other_tasks_take_turns_and_are_let_go_with_the_stream() {
        let (out, inside) = tokio::sync::oneshot::channel();
        let mut stream = Box::pin(events_from(|sender| async move {
            let _ = out.send(sender);
            std::future::pending::<()>().await;
        }));
        let mut next = async || std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
        let sender = tokio::spawn(async move {
            let sender = inside.await.unwrap();
            tokio::join!(sender.send(1), sender.send(2));
            sender
        });
        assert_eq!(next().await, Some(1));
        assert_eq!(next().await, Some(2));
        // The second send is let go by the next poll or by the end of the stream, whichever is first.
        drop(stream);
        let sender = sender.await.unwrap();
        assert!(sender.is_closed());
        sender.send(3).await;
    }
}
