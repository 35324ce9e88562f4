//! A socket whose stream has ended: it stays until the last words are out and the client has closed its side.
//!
//! For a bounded time, and not less: closed at once, unread bytes of the client would make the end a reset, which can
//! overtake the words.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::poller::Happened;
use super::reader::{Unsent, discard};
use super::slots::Id;
use super::wheel::{Tick, Wheel};
use crate::server::Permit;

/// How long a client may take to close its side after the end of its stream.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Closing {
    pub(super) socket: TcpStream,
    _permit: Permit,
    unsent: Option<Unsent>,
    stray: usize,
    /// From the last byte to the end of our side.
    pause: Duration,
    is_shut: bool,
    /// The reminder that counts.
    pub(super) alarm: Tick,
}

/// What is next for a closing socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// What it waited for before.
    AsBefore,
    /// It waits, for so long at most.
    Wait(Duration),
    /// It is closed.
    Close,
}

impl Closing {
    /// Writes the last words, as far as the socket takes them.
    pub(super) fn new(
        socket: TcpStream,
        permit: Permit,
        words: Bytes,
        pause: Duration,
        now: Instant,
    ) -> Self {
        let mut unsent = Unsent {
            bytes: words,
            since: now,
        };
        // What fails here fails again when the socket is looked at, which frees it.
        let is_out = unsent.flush(&socket, now).unwrap_or(false);
        Self {
            socket,
            _permit: permit,
            unsent: (!is_out).then_some(unsent),
            stray: 0,
            pause,
            is_shut: false,
            alarm: Tick::NEVER,
        }
    }

    /// Whether the last words are out.
    pub(super) fn is_out(&self) -> bool {
        self.unsent.is_none()
    }

    /// Everything is out. The end of our side comes next; tells how long to wait then.
    pub(super) fn said_all(&mut self) -> Duration {
        self.unsent = None;
        if !self.pause.is_zero() {
            return std::mem::take(&mut self.pause);
        }
        // A socket that is gone already is found out by a look at it.
        let _ = self.socket.shutdown(Shutdown::Write);
        self.is_shut = true;
        LINGER
    }

    /// Does what follows from what happened to the socket.
    pub(super) fn look(&mut self, happened: Happened, scratch: &mut [u8], now: Instant) -> Next {
        let is_over = happened.is_over
            || (happened.is_readable && discard(&self.socket, scratch, &mut self.stray).is_err());
        let flushed = match &mut self.unsent {
            Some(unsent) if happened.is_writable => unsent.flush(&self.socket, now),
            _ => Ok(false),
        };
        match flushed {
            Ok(true) if !is_over => Next::Wait(self.said_all()),
            Ok(_) if !is_over => Next::AsBefore,
            _ => Next::Close,
        }
    }

    /// Its time is over: for its words, for the pause after them, or for the client.
    pub(super) fn remind(&mut self) -> Next {
        if self.unsent.is_some() || self.is_shut {
            Next::Close
        } else {
            Next::Wait(self.said_all())
        }
    }

    /// Has itself reminded after this time.
    pub(super) fn wait(&mut self, patience: Duration, id: Id, wheel: &mut Wheel, now: Instant) {
        if let Some(at) = now.checked_add(patience) {
            self.alarm = wheel.tick_of(at);
            wheel.remind(self.alarm, id);
        }
    }
}
