//! Readers of a shard that come and go: the lists they are on, and the words with which a stream ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use bellwether_topics::Topic;
use tokio::time::Instant;

use super::{Shard, Slot};
use crate::engine::closing::Closing;
use crate::engine::group::{Group, Member};
use crate::engine::reader::{Arrival, Gone, LAST_CHUNK, Reader, Seat, Seats, append_chunk};
use crate::engine::slots::Id;
use crate::events::{READING, StreamOptions, SubscriptionEnd, log_failure};
use crate::lifecycle::CloseReason;

/// Paths and options that are kept to be shared.
const MAX_SHARED: usize = 64;

impl Shard {
    pub(super) fn adopt(&mut self, mut arrival: Arrival) {
        let options = self.shared_options(&arrival.offer.options);
        arrival.offer.guard.take_over();
        share_path(&mut self.paths, arrival.offer.guard.path_mut());
        let reader = Reader::new(arrival, options, &self.wheel);
        let topics: Vec<Topic> = reader.subscription.topics().collect();
        let id = self.slots.insert(Slot::Reading(reader));
        let mut seats = Vec::with_capacity(topics.len());
        for (topic, nth) in topics.iter().zip(0..) {
            let reader = id.index;
            seats.push(self.join(topic, Member { reader, nth }));
        }
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        reader.seats = match seats[..] {
            [seat] => Seats::One(seat),
            _ => Seats::Many(seats.into()),
        };
        if let Err(error) = self.poller.add(&reader.socket, id) {
            tracing::warn!(%error, "a socket cannot be watched");
            self.drop_reader(id, CloseReason::Error);
            return;
        }
        self.schedule(id);
        self.enqueue(id);
    }

    /// Streams with the same options share them.
    fn shared_options(&mut self, options: &Arc<StreamOptions>) -> Arc<StreamOptions> {
        let known = self.options.iter().find(|known| known.is_same(options));
        if let Some(known) = known {
            return Arc::clone(known);
        }
        if self.options.len() < MAX_SHARED {
            self.options.push(Arc::clone(options));
        }
        Arc::clone(options)
    }

    /// Enters a reader in the list of one of its topics.
    fn join(&mut self, topic: &Topic, member: Member) -> Seat {
        let id = topic.id();
        let token = match self.tokens.get(&id) {
            Some(token) => *token,
            None => {
                let token = self.watch.add(topic);
                if self.groups.len() <= token.index() {
                    self.groups.resize_with(token.index() + 1, || None);
                }
                self.groups[token.index()] = Some(Group::new(id, topic.reader()));
                self.tokens.insert(id, token);
                token
            }
        };
        let mut position = 0;
        if let Some(group) = &mut self.groups[token.index()] {
            position = number(group.members.len());
            group.members.push(member);
        }
        Seat {
            group: number(token.index()),
            position,
        }
    }

    // --- Going ---

    /// Takes a reader off the lists of its topics.
    fn leave(&mut self, seats: &Seats) {
        for seat in seats.all() {
            let Some(Some(group)) = self.groups.get_mut(seat.group as usize) else {
                continue;
            };
            let position = seat.position as usize;
            if position < group.members.len() {
                group.members.swap_remove(position);
            }
            if let Some(moved) = group.members.get(position)
                && let Some((_, Slot::Reading(reader))) = self.slots.at(moved.reader)
                && let Some(their_seat) = reader.seats.get_mut(moved.nth)
            {
                their_seat.position = seat.position;
            }
            if group.members.is_empty() {
                let topic = group.topic;
                self.groups[seat.group as usize] = None;
                if let Some(token) = self.tokens.remove(&topic) {
                    self.watch.remove(token);
                }
            }
        }
    }

    /// Lets go of a reader without a word.
    pub(super) fn drop_reader(&mut self, id: Id, reason: CloseReason) {
        match self.slots.remove(id) {
            Some(Slot::Reading(mut reader)) => {
                self.leave(&reader.seats);
                reader.guard.close_for(reason);
                let_go(reader);
            }
            Some(Slot::Closing(_)) | None => {}
        }
    }

    pub(super) fn lose(&mut self, id: Id, gone: Gone) {
        let reason = match gone {
            Gone::Left => CloseReason::ClientLeft,
            Gone::Silent => CloseReason::TooSlow,
        };
        self.drop_reader(id, reason);
    }

    /// Ends a stream in good order.
    pub(super) fn end(&mut self, id: Id, end: SubscriptionEnd, now: Instant) {
        let (mut words, mut out) = (Vec::new(), Vec::new());
        end.write(self.rules.lifecycle.plan(), &mut words);
        append_chunk(&words, &mut out);
        out.extend_from_slice(LAST_CHUNK);
        self.close(id, out, end.reason, Duration::ZERO, now);
    }

    /// Tells an error and cuts the stream: the last chunk does not come.
    pub(super) fn fail(&mut self, id: Id, error: &BoxError, now: Instant) {
        let (mut words, mut out) = (Vec::new(), Vec::new());
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            log_failure(&reader.guard, error);
            reader.options.write_error(error, &mut words);
        }
        append_chunk(&words, &mut out);
        self.close(id, out, CloseReason::Error, READING, now);
    }

    /// Ends a stream with these last words, after what its socket has not yet taken; only the socket stays.
    fn close(
        &mut self,
        id: Id,
        words: Vec<u8>,
        reason: CloseReason,
        pause: Duration,
        now: Instant,
    ) {
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        let seats = std::mem::replace(&mut reader.seats, Seats::Many(Box::default()));
        self.leave(&seats);
        let wheel = &mut self.wheel;
        let rules = &self.rules;
        let poller = &self.poller;
        self.slots.turn(id, |slot| {
            let Slot::Reading(mut reader) = slot else {
                return slot;
            };
            reader.guard.close_for(reason);
            let bytes = match reader.unsent.take() {
                Some(unsent) => [&unsent.bytes[..], &words].concat(),
                None => words,
            };
            let Reader {
                socket,
                permit,
                subscription,
                guard,
                presence,
                is_watched_for_writing,
                ..
            } = reader;
            let_go((subscription, guard, presence));
            let mut closing = Closing::new(socket, permit, bytes.into(), pause, now);
            let patience = if closing.is_out() {
                closing.said_all()
            } else {
                if !is_watched_for_writing {
                    let _ = poller.watch_writable(&closing.socket, id);
                }
                rules.write_stall
            };
            closing.wait(patience, id, wheel, now);
            Slot::Closing(closing)
        });
    }

    pub(super) fn drop_all(&mut self, reason: CloseReason) {
        for id in self.slots.ids() {
            self.drop_reader(id, reason);
        }
    }
}

/// Drops what runs foreign code when it is dropped; a panic of that code ends there.
fn let_go<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::error!("a hook panicked at the end of a subscription");
    }
}

fn share_path(paths: &mut Vec<Arc<str>>, path: &mut Arc<str>) {
    if let Some(known) = paths.iter().find(|known| *known == path) {
        *path = Arc::clone(known);
    } else if paths.len() < MAX_SHARED {
        paths.push(Arc::clone(path));
    }
}

/// A count of files or topics of one process.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
