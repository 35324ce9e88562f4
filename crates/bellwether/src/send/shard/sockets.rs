//! The events and deadlines of a shard's sockets.

use std::task::{Context, Waker};

use tokio::time::Instant;

use super::Shard;
use super::poller::SocketEvent;
use super::slots::ReaderId;
use super::wheel::Tick;
use crate::send::chunk_writer::{LINGER, SendFailure, WriteStatus};

impl Shard {
    /// The socket takes nothing more: it is watched until it does.
    pub(super) fn await_writable(&mut self, id: ReaderId) {
        if let Some(reader) = self.slots.get_mut(id) {
            let was_watched = std::mem::replace(&mut reader.interests.writing, true);
            if !was_watched {
                let socket = reader.writer.socket().tcp();
                if self.poller.change(socket, id, reader.interests).is_err() {
                    self.abort(id, SendFailure::Internal);
                    return;
                }
            }
        }
        self.schedule(id);
    }

    pub(super) fn handle_socket_event(&mut self, event: SocketEvent, now: Instant) {
        let id = event.id;
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        if event.is_over {
            let error = reader.writer.socket().tcp().take_error().ok().flatten();
            let failure =
                error.map_or(SendFailure::Disconnected, |error| SendFailure::from(&error));
            self.abort(id, failure);
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if event.is_readable && reader.interests.reading {
            let input = &mut self.buffers.input;
            if let Err(failure) = reader.read_input(&mut cx, input) {
                self.abort(id, failure);
                return;
            }
        }
        if event.is_writable && reader.writer.is_blocked() {
            match reader.writer.flush(&mut cx, now) {
                Ok(WriteStatus::Blocked) => self.schedule(id),
                Ok(WriteStatus::All) => {
                    reader.stream_state.note_flushed();
                    match reader.closing() {
                        Some(_) => self.close(id, now),
                        // What fell due meanwhile, such as a keep-alive, comes now.
                        None => self.enqueue(id),
                    }
                }
                Err(error) => self.abort(id, SendFailure::from(&error)),
            }
        }
    }

    /// Everything is out. A connection that is used again goes back; any other closes, and waits for its client.
    pub(super) fn close(&mut self, id: ReaderId, now: Instant) {
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        let is_whole = reader.closing().is_some_and(|closing| closing.is_whole);
        if is_whole && reader.is_reusable && !self.is_stopping {
            self.give_back(id);
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if reader.writer.shut(&mut cx).is_pending() {
            // A `close_notify` that does not fit is not worth waiting for.
            self.abort(id, SendFailure::Disconnected);
            return;
        }
        if let Some(closing) = reader.closing_mut() {
            closing.linger_until = now.checked_add(LINGER);
        }
        self.schedule(id);
    }

    // --- Deadlines ---

    /// Makes sure that the reader is reminded when something is due.
    pub(super) fn schedule(&mut self, id: ReaderId) {
        if let Some(reader) = self.slots.get_mut(id) {
            let at = match (reader.closing(), reader.writer.blocked_since()) {
                (_, Some(since)) => since.checked_add(self.config.write_stall),
                (Some(closing), None) => closing.linger_until,
                (None, None) => reader.stream_state.deadline(),
            };
            let next = at.map_or(Tick::NEVER, |at| self.wheel.tick_of(at));
            if next < reader.alarm {
                reader.alarm = next;
                self.wheel.remind(next, id);
            }
        }
    }

    /// Does what is due for a socket.
    pub(super) fn handle_deadline(&mut self, id: ReaderId, tick: Tick, now: Instant) {
        let Some(reader) = self.slots.get_mut(id).filter(|reader| reader.alarm == tick) else {
            return;
        };
        reader.alarm = Tick::NEVER;
        let is_stalled = reader
            .writer
            .blocked_since()
            .and_then(|since| since.checked_add(self.config.write_stall))
            .is_some_and(|at| at <= now);
        if is_stalled {
            self.abort(id, SendFailure::TimedOut);
            return;
        }
        match reader.closing() {
            Some(closing) if closing.linger_until.is_some_and(|at| at <= now) => {
                self.abort(id, SendFailure::Disconnected);
            }
            Some(_) => self.schedule(id),
            None if reader.writer.is_blocked() => self.schedule(id),
            None => self.enqueue(id),
        }
    }
}
