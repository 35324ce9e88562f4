//! One reader of a shard: its socket, its subscription, its accounts, and what its socket has not yet taken.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bellwether_topics::{Delivery, Place, Subscription};
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::time::Instant;

use super::Rules;
use super::group::Shared;
use super::wheel::{Tick, Wheel};
use crate::events::{Offer, OnStop, StreamOptions, write_gap};
use crate::lifecycle::{DrainPlan, MAX_AHEAD_BYTES, PresenceGuard, StreamGuard};
use crate::server::Permit;

/// The chunk that ends a body (RFC 9112, section 7.1).
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A stream on its way to a shard.
pub(crate) struct Arrival {
    pub(crate) offer: Offer,
    pub(crate) socket: TcpStream,
    pub(crate) permit: Permit,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// What a socket has not taken.
#[derive(Debug)]
pub(super) struct Unsent {
    /// The rest of a write; empty if the write did not begin.
    pub(super) bytes: Bytes,
    /// When it last took something.
    pub(super) since: Instant,
}

/// A reader. Ten thousand of them wait at once, so what most do not have is boxed.
pub(super) struct Reader {
    pub(super) socket: TcpStream,
    pub(super) subscription: Subscription,
    pub(super) options: Arc<StreamOptions>,
    pub(super) guard: StreamGuard,
    pub(super) presence: PresenceGuard,
    pub(super) permit: Permit,
    /// Present while the socket takes nothing.
    pub(super) unsent: Option<Box<Unsent>>,
    /// Where it stands in the list of each of its topics.
    pub(super) seats: Seats,
    /// When the next keep-alive is due if nothing is sent before.
    pub(super) beat_at: Tick,
    /// The reminder that counts; earlier ones that were not needed are ignored.
    pub(super) alarm: Tick,
    share: f32,
    stray: u16,
    /// Its right to read ends at some time.
    pub(super) has_expiry: bool,
    /// May be written what was read for many.
    pub(super) is_shareable: bool,
    /// Stands in the queue of those who read for themselves.
    pub(super) is_queued: bool,
    pub(super) is_watched_for_writing: bool,
}

/// A place in a group's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) group: u32,
    pub(super) position: u32,
}

/// The places of one reader; most have one topic.
#[derive(Debug)]
pub(super) enum Seats {
    One(Seat),
    Many(Box<[Seat]>),
}

impl Seats {
    pub(super) fn all(&self) -> &[Seat] {
        match self {
            Self::One(seat) => std::slice::from_ref(seat),
            Self::Many(seats) => seats,
        }
    }

    pub(super) fn get_mut(&mut self, nth: u32) -> Option<&mut Seat> {
        match self {
            Self::One(seat) => (nth == 0).then_some(seat),
            Self::Many(seats) => seats.get_mut(nth as usize),
        }
    }
}

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The socket takes no more for now.
    Blocked,
}

/// How a client is found to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    Left,
    /// It acknowledges nothing any more.
    Silent,
}

impl From<&io::Error> for Gone {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Left,
        }
    }
}

impl Reader {
    pub(super) fn new(arrival: Arrival, options: Arc<StreamOptions>, wheel: &Wheel) -> Self {
        let Arrival {
            offer,
            socket,
            permit,
        } = arrival;
        let beat_at = match (offer.next_beat, &options.keep_alive) {
            (Some(at), Some(keep_alive)) => wheel.beat_of(at, keep_alive.interval),
            _ => Tick::NEVER,
        };
        Self {
            socket,
            has_expiry: offer.subscription.expires_at().is_some(),
            is_shareable: offer.subscription.is_shareable(),
            subscription: offer.subscription,
            options,
            guard: offer.guard,
            presence: offer.presence,
            permit,
            unsent: None,
            seats: Seats::Many(Box::default()),
            beat_at,
            alarm: Tick::NEVER,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a place in the window need not be exact"
            )]
            share: offer.share as f32,
            stray: 0,
            is_queued: false,
            is_watched_for_writing: false,
        }
    }

    /// Writes bytes; what the socket does not take is kept, by `rest` from where it stopped.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        now: Instant,
        rest: impl FnOnce(usize) -> Bytes,
    ) -> io::Result<Sent> {
        let taken = write(&self.socket, bytes)?;
        if taken == bytes.len() {
            return Ok(Sent::All);
        }
        self.unsent = Some(Box::new(Unsent {
            bytes: rest(taken),
            since: now,
        }));
        Ok(Sent::Blocked)
    }

    /// Writes what was read for many, and moves to where that ends. If the socket takes nothing of it, the reader
    /// stays where it is, and reads for itself later.
    pub(super) fn send_shared(&mut self, shared: &Shared, now: Instant) -> io::Result<Sent> {
        let taken = write(&self.socket, &shared.bytes)?;
        if taken > 0 {
            self.subscription.set_place(shared.end, shared.events);
            self.guard.count(shared.events as u64, shared.event_bytes);
        }
        if taken == shared.bytes.len() {
            return Ok(Sent::All);
        }
        let bytes = match taken {
            0 => Bytes::new(),
            taken => shared.bytes.slice(taken..),
        };
        self.unsent = Some(Box::new(Unsent { bytes, since: now }));
        Ok(Sent::Blocked)
    }

    /// Whether this reader has had exactly what whoever stands here has had.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.is_shareable && self.subscription.place().is_same(place)
    }

    /// Whether its right to read has ended.
    pub(super) fn is_revoked(&self, now: Instant) -> bool {
        self.subscription.is_revoked(now.into_std())
    }

    /// Goes on with what the socket did not take.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<Sent> {
        if let Some(unsent) = &mut self.unsent
            && !unsent.flush(&self.socket, now)?
        {
            return Ok(Sent::Blocked);
        }
        self.unsent = None;
        Ok(Sent::All)
    }

    /// Reads and throws away what the client sends, if it is not too much.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> Result<(), Gone> {
        let mut stray = usize::from(self.stray);
        let result = discard(&self.socket, scratch, &mut stray);
        self.stray = u16::try_from(stray).unwrap_or(u16::MAX);
        result
    }

    /// The next keep-alive is put off.
    pub(super) fn put_off_beat(&mut self, now: Instant, wheel: &Wheel) {
        if let Some(keep_alive) = &self.options.keep_alive {
            self.beat_at = wheel.beat_of(now + keep_alive.interval, keep_alive.interval);
        }
    }

    /// When the stop ends this stream.
    pub(super) fn stop_at(&self, plan: &DrainPlan) -> Instant {
        match self.options.on_stop {
            OnStop::EndSoon => plan.moment(f64::from(self.share)),
            OnStop::LetFinish => plan.last_moment(),
        }
    }

    /// When a blocked socket is given up.
    pub(super) fn stalled_at(&self, rules: &Rules) -> Option<Instant> {
        let unsent = self.unsent.as_ref()?;
        unsent.since.checked_add(rules.write_stall)
    }

    /// When something is due for this reader next.
    pub(super) fn next_alarm(&self, rules: &Rules, wheel: &Wheel) -> Tick {
        let tick = |at: Option<Instant>| at.map_or(Tick::NEVER, |at| wheel.tick_of(at));
        let stop = rules.lifecycle.plan().map(|plan| self.stop_at(plan));
        let expiry = self.subscription.expires_at().map(Instant::from_std);
        let waits = match &self.unsent {
            Some(_) => tick(self.stalled_at(rules)),
            None => self.beat_at,
        };
        waits.min(tick(stop)).min(tick(expiry))
    }

    /// Appends deliveries as chunks, and counts them.
    pub(super) fn encode(&mut self, deliveries: &[Delivery], out: &mut Vec<u8>) {
        let mut bytes = 0;
        let mut events = 0;
        for delivery in deliveries {
            if let Some(frame) = delivery.frame() {
                out.extend_from_slice(frame.chunk());
                bytes += frame.len();
                events += 1;
            } else if let (Some(gap), Some(name)) = (delivery.gap(), &self.options.gap_name) {
                let mut event = Vec::new();
                events += u64::from(write_gap(gap, name, &mut event));
                bytes += event.len();
                append_chunk(&event, out);
            }
        }
        self.guard.count(events, bytes);
    }
}

impl Unsent {
    /// Goes on writing; whether everything is out.
    pub(super) fn flush(&mut self, socket: &TcpStream, now: Instant) -> io::Result<bool> {
        let taken = write(socket, &self.bytes)?;
        if taken > 0 {
            self.since = now;
        }
        let _ = self.bytes.split_to(taken);
        Ok(self.bytes.is_empty())
    }
}

/// Writes once; nothing if the socket takes nothing now.
///
/// By the system call itself: the C library's `send` is a point at which a thread may be cancelled,
/// and the preparation for that is 2 to 3 % of what a delivery costs.
pub(super) fn write(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    loop {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(taken) => return Ok(taken),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads what has come and throws it away; counts it in `stray`, which is bounded.
pub(super) fn discard(
    mut socket: &TcpStream,
    scratch: &mut [u8],
    stray: &mut usize,
) -> Result<(), Gone> {
    loop {
        match socket.read(scratch) {
            Ok(0) => return Err(Gone::Left),
            Ok(count) => *stray += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Gone::from(&error)),
        }
        if *stray > MAX_AHEAD_BYTES {
            return Err(Gone::Left);
        }
    }
}

/// Appends bytes as one chunk; none make no chunk, since that would be the last one.
pub(super) fn append_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        // Writing to a vector does not fail.
        let _ = write!(out, "{:x}\r\n", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_states_its_size_and_nothing_is_no_chunk() {
        let mut out = Vec::new();
        append_chunk(b"", &mut out);
        append_chunk(&[b'x'; 26], &mut out);
        let mut expected = b"1a\r\n".to_vec();
        expected.extend_from_slice(&[b'x'; 26]);
        expected.extend_from_slice(b"\r\n");
        assert_eq!(out, expected);
    }
}
