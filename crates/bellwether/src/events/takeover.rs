//! How a subscription's stream gets from its body to the delivery engine.
//!
//! The server polls the body of an answer by [`poll`], while the head is being written. If that body is ours, carries a
//! subscription, and no layer has put anything around it, it gives itself up: its parts come back as an [`Offer`]
//! beside its first bytes, and the body stays pending for ever. Whoever does not poll by this function gets an ordinary
//! body.
//!
//! axum's `Body` hides what is inside, and nothing of what a body answers tells whether a layer has wrapped it. What
//! tells is how far apart on the stack the server's call and ours are: each wrapper costs a call through a vtable and
//! the frame that maps its errors, which cannot be optimised away. So the distance is measured once with a bare body,
//! and a body gives itself up only at exactly that distance. Should it ever differ for another reason, the
//! stream stays on the ordinary path, which sends the same events.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bellwether_topics::Subscription;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::body::EventBody;
use super::options::StreamOptions;
use super::response::EventsBody;
use crate::lifecycle::{PresenceGuard, StreamGuard};

/// A stream that its body has given up, with everything that belongs to it.
pub(crate) struct Offer {
    pub(crate) subscription: Subscription,
    pub(crate) options: Arc<StreamOptions>,
    pub(crate) guard: StreamGuard,
    pub(crate) presence: PresenceGuard,
    /// The stream's place in the drain window, in 0..1.
    pub(crate) share: f64,
    pub(crate) next_beat: Option<Instant>,
}

thread_local! {
    /// Where on the stack the server's call stands, while it polls a body that may give itself up.
    static CALL: Cell<Option<usize>> = const { Cell::new(None) };
    /// How far from there a bare body stands; measured by a body that does nothing else.
    static MEASURED: Cell<usize> = const { Cell::new(0) };
    static OFFER: RefCell<Option<Offer>> = const { RefCell::new(None) };
}

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// Polls the body of an answer for the first time, and takes what it offers.
pub(crate) fn poll(body: &mut Body, cx: &mut Context<'_>) -> (Polled, Option<Offer>) {
    bare_distance();
    let polled = call(body, cx);
    (polled, OFFER.take())
}

/// The one place from which bodies are polled that may give themselves up: the distance counts from here.
#[inline(never)]
fn call(body: &mut Body, cx: &mut Context<'_>) -> Polled {
    /// A panic in the body must not leave the mark behind.
    struct Marked;
    impl Drop for Marked {
        fn drop(&mut self) {
            CALL.set(None);
        }
    }
    let here = 0_u8;
    CALL.set(Some(std::ptr::from_ref(black_box(&here)).addr()));
    let _marked = Marked;
    Pin::new(body).poll_frame(cx)
}

/// The distance of a body that nothing is wrapped around.
fn bare_distance() -> usize {
    static BARE: OnceLock<usize> = OnceLock::new();
    *BARE.get_or_init(|| {
        let mut body = Body::new(EventsBody::measuring());
        let polled = call(&mut body, &mut Context::from_waker(Waker::noop()));
        debug_assert!(polled.is_pending());
        MEASURED.get()
    })
}

/// Called by a body in its first poll: how far the server's call is, if the server is ours.
#[inline(never)]
pub(super) fn distance() -> Option<usize> {
    let here = 0_u8;
    let here = std::ptr::from_ref(black_box(&here)).addr();
    CALL.get().map(|call| call.abs_diff(here))
}

/// Called by the body that measures.
pub(super) fn note_distance(distance: Option<usize>) {
    MEASURED.set(distance.unwrap_or(0));
}

/// Whether a body at this distance is bare.
pub(super) fn is_bare(distance: usize) -> bool {
    distance != 0 && distance == bare_distance()
}

/// The body of a stream that the delivery engine did not get after all.
pub(crate) fn resumed_body(offer: Offer) -> Body {
    Body::new(EventsBody::Events(EventBody::resumed(offer)))
}

/// Called by a body that gives itself up.
pub(super) fn offer(offer: Offer) {
    OFFER.set(Some(offer));
}
