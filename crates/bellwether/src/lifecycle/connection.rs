//! What the socket of a connection knows and its event bodies need: flushed, gone, too slow.
//!
//! The io wrapper of our server writes these facts; an event body reads them. Under a foreign
//! server no such state exists and bodies fall back to short timers.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

/// A client may send this much after the request whose event stream it reads, whoever sends that.
pub(crate) const MAX_AHEAD_BYTES: usize = 8 * 1024;

/// Facts about one connection, shared by its io wrapper and the event bodies it carries.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    streaming: AtomicUsize,
    flushes: AtomicU64,
    timed_out: AtomicBool,
    gone: AtomicBool,
    /// Guards the waker of the one body that waits for a flush; held for a store or a take only.
    flush_waiter: Mutex<Option<Waker>>,
}

impl ConnectionState {
    /// Whether an event body is active on this connection.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Acquire) > 0
    }

    /// An event body begins on this connection.
    pub(crate) fn begin_streaming(&self) {
        self.streaming.fetch_add(1, Ordering::AcqRel);
    }

    /// An event body on this connection has ended.
    pub(crate) fn end_streaming(&self) {
        self.streaming.fetch_sub(1, Ordering::AcqRel);
    }

    /// Everything that was handed to the socket so far has been written to it.
    pub(crate) fn note_flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        if self.is_streaming() {
            let waiter = self
                .flush_waiter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(waker) = waiter {
                waker.wake();
            }
        }
    }

    /// How many flushes there were; a body compares two readings.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Whether a flush has happened since the reading `since`; if not, the task is woken by it.
    pub(crate) fn has_flushed_since(&self, since: u64, cx: &Context<'_>) -> bool {
        if self.flushes() != since {
            return true;
        }
        *self
            .flush_waiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // A flush between the first look and the registration would otherwise be missed.
        self.flushes() != since
    }

    /// The socket took nothing for longer than it may: the reader is too slow, or vanished.
    pub(crate) fn note_timed_out(&self) {
        self.timed_out.store(true, Ordering::Release);
    }

    /// Whether the connection ended because its reader was too slow.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Acquire)
    }

    /// The peer has closed or reset the connection.
    pub(crate) fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the peer has closed or reset the connection.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}
