//! What happens at the sockets of a shard, and what is due for them.

use std::io;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Shard, Slot};
use crate::engine::closing::Next;
use crate::engine::poller::Happened;
use crate::engine::reader::{Gone, Sent, append_chunk};
use crate::engine::slots::Id;
use crate::engine::wheel::Tick;
use crate::events::SubscriptionEnd;
use crate::lifecycle::CloseReason;

impl Shard {
    /// What follows from a write.
    pub(super) fn after_send(&mut self, id: Id, sent: io::Result<Sent>, now: Instant) {
        match sent {
            Ok(Sent::All) => {
                if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
                    reader.put_off_beat(now, &self.wheel);
                }
            }
            Ok(Sent::Blocked) => self.wait_for_socket(id),
            Err(error) => self.lose(id, Gone::from(&error)),
        }
    }

    pub(super) fn wait_for_socket(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            let is_watched = std::mem::replace(&mut reader.is_watched_for_writing, true);
            if !is_watched && self.poller.watch_writable(&reader.socket, id).is_err() {
                self.drop_reader(id, CloseReason::Error);
                return;
            }
        }
        self.schedule(id);
    }

    pub(super) fn look_at_socket(&mut self, happened: Happened, now: Instant) {
        let id = happened.id;
        let input = &mut self.buffers.input;
        match self.slots.get_mut(id) {
            Some(Slot::Reading(reader)) => {
                if happened.is_over {
                    let error = reader.socket.take_error().ok().flatten();
                    let gone = error.map_or(Gone::Left, |error| Gone::from(&error));
                    self.lose(id, gone);
                    return;
                }
                if happened.is_readable
                    && let Err(gone) = reader.discard(input)
                {
                    self.lose(id, gone);
                    return;
                }
                if happened.is_writable && reader.unsent.is_some() {
                    let sent = reader.flush(now);
                    let is_free = matches!(sent, Ok(Sent::All));
                    self.after_send(id, sent, now);
                    if is_free {
                        self.enqueue(id);
                    }
                }
            }
            Some(Slot::Closing(closing)) => {
                let next = closing.look(happened, input, now);
                self.go_on_closing(id, next, now);
            }
            None => {}
        }
    }

    fn go_on_closing(&mut self, id: Id, next: Next, now: Instant) {
        match next {
            Next::AsBefore => {}
            Next::Wait(patience) => {
                if let Some(Slot::Closing(closing)) = self.slots.get_mut(id) {
                    closing.wait(patience, id, &mut self.wheel, now);
                }
            }
            Next::Close => drop(self.slots.remove(id)),
        }
    }

    // --- Deadlines ---

    /// Makes sure that the reader is reminded when something is due.
    pub(super) fn schedule(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            let next = reader.next_alarm(&self.rules, &self.wheel);
            if next < reader.alarm {
                reader.alarm = next;
                self.wheel.remind(next, id);
            }
        }
    }

    /// Does what is due for a socket.
    pub(super) fn remind(&mut self, id: Id, tick: Tick, now: Instant) {
        match self.slots.get_mut(id) {
            Some(Slot::Reading(reader)) if reader.alarm == tick => {
                reader.alarm = Tick::NEVER;
                let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                let plan = self.rules.lifecycle.plan();
                if is_past(plan.map(|plan| reader.stop_at(plan))) {
                    let end = SubscriptionEnd {
                        reason: CloseReason::Stopping,
                        retry: None,
                    };
                    self.end(id, end, now);
                } else if reader.is_revoked(now) {
                    self.serve(id, &mut 1, now);
                } else if is_past(reader.stalled_at(&self.rules)) {
                    self.drop_reader(id, CloseReason::TooSlow);
                } else if reader.unsent.is_none() && reader.beat_at <= tick {
                    self.beat(id, now);
                }
                self.schedule(id);
            }
            Some(Slot::Closing(closing)) if closing.alarm == tick => {
                let next = closing.remind();
                self.go_on_closing(id, next, now);
            }
            _ => {}
        }
    }

    fn beat(&mut self, id: Id, now: Instant) {
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        let Some(keep_alive) = &reader.options.keep_alive else {
            return;
        };
        let out = &mut self.buffers.out;
        out.clear();
        append_chunk(&keep_alive.beat, out);
        let sent = reader.send(out, now, |taken| Bytes::copy_from_slice(&out[taken..]));
        self.after_send(id, sent, now);
    }
}
