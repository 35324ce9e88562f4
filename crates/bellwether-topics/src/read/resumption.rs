//! Where a client left off, for subscriptions that application code opens and reads within its own stream.
//!
//! A server that gets a [`Subscription`](crate::Subscription) calls
//! [`resume_after`](crate::Subscription::resume_after). A server that gets a generator cannot, because the subscription
//! is inside. So the server polls the generator within [`Resumption::scope`]. A subscription that reads there for the
//! first time, and for which the application chose no start, starts where the client left off.

use std::cell::RefCell;
use std::mem;

thread_local! {
    /// The resumption of the stream which is being polled on this thread.
    static CURRENT: RefCell<Option<Resumption>> = const { RefCell::new(None) };
}

/// Where the client of a stream left off, as far as its server knows.
///
/// ```
/// use bellwether_topics::{Resumption, ServerSentEvent, Topics};
///
/// let topics = Topics::new();
/// let news = topics.topic("news")?;
/// let seen = news.publish(&ServerSentEvent::text("one"))?.cursor().unwrap();
/// let next = news.publish(&ServerSentEvent::text("two"))?.cursor().unwrap();
/// assert_ne!(next, seen);
///
/// let mut resumption = Some(Resumption::After(seen.to_string().into()));
/// let mut reader = news.subscribe().open()?;
/// let mut deliveries = Vec::new();
/// Resumption::scope(&mut resumption, || reader.try_frames(65_536, &mut deliveries));
/// assert!(deliveries[0].frame().unwrap().as_bytes().starts_with(b"data: two\n"));
/// assert_eq!(resumption, Some(Resumption::Unknown));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// After the event of this id, which the client has sent. The first subscription takes the id; for later ones the
    /// position is [`Unknown`](Self::Unknown).
    After(Box<str>),
    /// Not known. The first delivery of a subscription is a gap, so that the client learns that something may be
    /// missing.
    Unknown,
}

impl Resumption {
    /// Runs `f`. Subscriptions that read for the first time within `f` start where `resumption` says; `None` is the
    /// same as no scope.
    pub fn scope<R>(resumption: &mut Option<Self>, f: impl FnOnce() -> R) -> R {
        /// Restores the outer scope, also when `f` panics.
        struct Scope<'a>(&'a mut Option<Resumption>);

        impl Drop for Scope<'_> {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(|current| mem::swap(current, self.0));
            }
        }

        CURRENT.with_borrow_mut(|current| mem::swap(current, resumption));
        let _scope = Scope(resumption);
        f()
    }

    /// The resumption of a subscription that reads for the first time now.
    pub(crate) fn take() -> Option<Self> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(known) => Some(mem::replace(known, Self::Unknown)),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_function_also_when_that_panics() {
        let mut outer = Some(Resumption::Unknown);
        Resumption::scope(&mut outer, || {
            let mut inner = Some(Resumption::After("1".into()));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                Resumption::scope(&mut inner, || panic!("in the scope"));
            }));
            assert!(panicked.is_err());
            assert_eq!(inner, Some(Resumption::After("1".into())));
            Resumption::scope(&mut None, || assert_eq!(Resumption::take(), None));
            assert_eq!(Resumption::take(), Some(Resumption::Unknown));
        });
        assert_eq!(Resumption::take(), None);
    }

    #[test]
    fn an_id_is_taken_once() {
        let mut resumption = Some(Resumption::After("1".into()));
        Resumption::scope(&mut resumption, || {
            assert_eq!(Resumption::take(), Some(Resumption::After("1".into())));
            assert_eq!(Resumption::take(), Some(Resumption::Unknown));
        });
    }
}
