//! What several of these tests use.

use std::task::{Context, Poll, Waker};

use bellwether_topics::{Delivery, ServerSentEvent, Subscription, Taken, Topic};

use crate::checker::number;

pub(crate) fn event(number: u64) -> ServerSentEvent {
    ServerSentEvent::text(number.to_string())
}

/// Publishes to a log in memory; returns the id.
pub(crate) fn publish(topic: &Topic, number: u64) -> String {
    let published = topic.publish(&event(number)).unwrap();
    published.cursor().unwrap().to_string()
}

/// Everything that is ready.
pub(crate) fn ready(reader: &mut Subscription) -> Vec<Delivery> {
    let mut out = Vec::new();
    while let Taken::Some(_) = reader.try_frames(1 << 20, &mut out) {}
    out
}

/// The numbers of the events among deliveries, with 0 for a gap.
pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries
        .iter()
        .map(|delivery| delivery.frame().map_or(0, number))
        .collect()
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll(reader: &mut Subscription, out: &mut Vec<Delivery>) -> Poll<Option<usize>> {
    reader.poll_frames(&mut Context::from_waker(Waker::noop()), 1 << 20, out)
}

/// What [`numbers`] gives for nothing.
pub(crate) const NONE: [u64; 0] = [];
