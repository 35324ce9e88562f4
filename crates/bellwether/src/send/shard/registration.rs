//! Registers streams with a shard and removes them: the groups of their topics, and the reuse of their sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bellwether_topics::Topic;
use tokio::time::Instant;

use super::Shard;
use super::group::{Group, Member};
use super::reader::{Handover, Reader, Registration, Registrations};
use super::slots::ReaderId;
use crate::send::chunk_writer::SendFailure;
use crate::send::engine::ReturnedConnection;
use crate::send::stream_state::ShardAttachment;

impl Shard {
    /// Registers a stream with the groups of its topics, and writes its head with what the body has.
    pub(super) fn register(&mut self, handover: Handover, now: Instant) {
        let (reader, head) = Reader::new(handover);
        let reads = reader.stream_state.take_reads();
        let id = self.slots.insert(reader);
        let mut registrations = Vec::new();
        let mut feed = None;
        if let Some(reads) = &reads {
            for (topic, nth) in reads.topics.iter().zip(0..) {
                let reader = id.index;
                registrations.push(self.enter_group(topic, Member { reader, nth }));
            }
            if let (true, [registration]) = (reads.is_shareable, &registrations[..]) {
                let group = self.groups[registration.group as usize].as_ref();
                feed = group.map(|group| Arc::clone(&group.feed));
            }
        }
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        reader.registrations = match registrations[..] {
            [registration] => Registrations::One(registration),
            _ => Registrations::Many(registrations.into()),
        };
        let poll_origin = self.wakers.poll_origin();
        reader
            .stream_state
            .attach(ShardAttachment { feed, poll_origin });
        self.config.lifecycle.streams().note_engine();
        let socket = reader.writer.socket().tcp();
        if let Err(error) = self.poller.add(socket, id, reader.interests) {
            tracing::warn!(%error, "a socket cannot be watched");
            self.abort(id, SendFailure::Internal);
            return;
        }
        self.buffers.out.clear();
        self.buffers.out.extend_from_slice(&head);
        self.poll_and_write(id, None, now);
    }

    /// Registers a reader with the group of one of its topics.
    fn enter_group(&mut self, topic: &Topic, member: Member) -> Registration {
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
        Registration {
            group: number(token.index()),
            position,
        }
    }

    // --- Removal ---

    /// Removes a reader from the groups of its topics.
    fn leave_groups(&mut self, registrations: &Registrations) {
        for registration in registrations.all() {
            let Some(Some(group)) = self.groups.get_mut(registration.group as usize) else {
                continue;
            };
            let position = registration.position as usize;
            if position < group.members.len() {
                group.members.swap_remove(position);
            }
            let moved = group.members.get(position).copied();
            let is_round = !group.is_done();
            if group.members.is_empty() {
                let topic = group.topic;
                self.groups[registration.group as usize] = None;
                if let Some(token) = self.tokens.remove(&topic) {
                    self.watch.remove(token);
                }
            }
            if let Some(moved) = moved
                && let Some((id, reader)) = self.slots.at(moved.reader)
                && let Some(moved_registration) = reader.registrations.get_mut(moved.nth)
            {
                moved_registration.position = registration.position;
                // The round may have passed its new position already.
                if is_round {
                    self.enqueue(id);
                }
            }
        }
    }

    /// The body has ended, or its client has disconnected: it is dropped, and its stream's account is closed.
    pub(super) fn drop_body(&mut self, id: ReaderId) {
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        let body = reader.body.take();
        let registrations = std::mem::replace(&mut reader.registrations, Registrations::none());
        self.leave_groups(&registrations);
        // Layers and hooks run when a body is dropped; a panic of theirs ends here.
        if catch_unwind(AssertUnwindSafe(|| drop(body))).is_err() {
            tracing::error!("a hook panicked at the end of a stream");
        }
    }

    /// Removes a stream whose client has disconnected, or a socket that has nothing left to do.
    pub(super) fn abort(&mut self, id: ReaderId, failure: SendFailure) {
        if let Some(reader) = self.slots.get_mut(id) {
            match failure {
                SendFailure::Disconnected => reader.stream_state.note_disconnected(),
                SendFailure::TimedOut => reader.stream_state.note_timed_out(),
                SendFailure::Internal => reader.stream_state.note_failed(),
            }
        }
        self.drop_body(id);
        self.slots.remove(id);
    }

    /// The response is complete, and the connection takes the client's next request.
    pub(super) fn give_back(&mut self, id: ReaderId) {
        let Some(mut reader) = self.slots.remove(id) else {
            return;
        };
        let ahead = reader.take_ahead();
        let socket = reader.writer.into_socket();
        if self.poller.remove(socket.tcp()).is_ok() {
            (self.config.give_back)(ReturnedConnection {
                socket,
                permit: reader.permit,
                ahead,
            });
        }
    }

    /// Cuts every stream. The bodies give the reason.
    pub(super) fn drop_all(&mut self) {
        for id in self.slots.ids() {
            self.drop_body(id);
            self.slots.remove(id);
        }
        self.handovers.clear();
        drop(self.mailbox.close());
    }

    /// Fails every stream, since the shard cannot send any more.
    pub(super) fn fail_all(&mut self) {
        for id in self.slots.ids() {
            self.abort(id, SendFailure::Internal);
        }
        self.drop_all();
    }
}

/// A count of files or topics of one process.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
