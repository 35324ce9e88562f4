//! [`Gathered`]: the data of an event that came in pieces, and how its buffer grows.
//!
//! Small data is copied out and the buffer stays for the next event; large data goes out in the buffer itself. To grow a
//! large buffer is mostly to copy it, and would cost more than all the rest of decoding: hence the first guess is the
//! size of the last large event, and without one the buffer grows by 16. Room that is asked for and not written costs
//! addresses, no memory, and goes back when the event goes out.

use std::borrow::Cow;

use crate::scanned::{Scanned, ScannedBuf};

/// Data of no more bytes than this is small.
pub(crate) const SMALL_BYTES: usize = 4 * 1024;

/// How many bytes more than there are are asked for at most, unless the last event or doubling needs more.
const ROOM_AHEAD_BYTES: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Gathered {
    buffer: ScannedBuf,
    /// How many bytes there can be before the decoder fails.
    most: usize,
    /// The length of the last large event; zero before any.
    last_large: usize,
}

impl Gathered {
    /// Empty, for no more than this many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            buffer: ScannedBuf::default(),
            most,
            last_large: 0,
        }
    }

    /// How many bytes there are, as they came.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Adds bytes, wherever they may be cut.
    #[inline]
    pub(crate) fn push(&mut self, piece: Scanned<'_>) {
        if piece.len() > self.buffer.capacity() - self.buffer.len() {
            self.grow(piece.len());
        }
        self.buffer.push(piece);
    }

    /// Adds the break between two lines.
    #[inline]
    pub(crate) fn push_break(&mut self) {
        self.buffer.push_break();
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.buffer.len() + more;
        let total = room(self.buffer.capacity(), needed, self.last_large);
        self.buffer.reserve_total(total.min(self.most).max(needed));
    }

    /// The text, invalid sequences replaced. What is borrowed stays until [`clear`](Self::clear), the rest is gone.
    #[inline]
    pub(crate) fn take(&mut self) -> Cow<'_, str> {
        if self.buffer.len() <= SMALL_BYTES {
            return self.buffer.text();
        }
        self.last_large = self.buffer.len();
        Cow::Owned(self.buffer.take_text())
    }

    /// Empties it for the next event.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// How large a buffer of this size becomes when this many bytes are needed.
fn room(held: usize, needed: usize, last_large: usize) -> usize {
    if needed <= SMALL_BYTES {
        return needed.next_power_of_two();
    }
    if needed <= last_large {
        // Events of a kind differ a little in size.
        return last_large + last_large / 8;
    }
    let held = held.max(SMALL_BYTES);
    let by_sixteen = held.saturating_mul(16);
    let ahead = by_sixteen.min(held.saturating_add(ROOM_AHEAD_BYTES));
    // By two at least, or to gather would take time that grows with the square of the size.
    ahead.max(held.saturating_mul(2)).max(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of each length, a large event of them.
    fn long_text() -> String {
        "a\u{e9}\u{20ac}\u{1f600}".repeat(SMALL_BYTES / 5)
    }

    fn gather(bytes: &[u8], size: usize) -> String {
        let mut gathered = Gathered::new(usize::MAX);
        for piece in bytes.chunks(size) {
            gathered.push(Scanned::line_of(piece));
        }
        assert_eq!(gathered.len(), bytes.len());
        gathered.take().into_owned()
    }

    #[test]
    fn text_is_the_same_however_it_is_cut() {
        let text = long_text();
        let sizes = (1..20).chain(SMALL_BYTES - 5..SMALL_BYTES + 20);
        for size in sizes.chain([text.len()]) {
            assert!(gather(text.as_bytes(), size) == text, "in pieces of {size}");
        }
    }

    #[test]
    fn invalid_bytes_are_replaced_wherever_they_stand_and_however_they_are_cut() {
        let text = long_text();
        for invalid in [
            &b"\xff"[..],
            b"\x80",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xc0\xaf",
        ] {
            for at in [0, 1, 10, 4400, text.len()] {
                let mut bytes = text.clone().into_bytes();
                bytes.splice(at..at, invalid.iter().copied());
                let expected = String::from_utf8_lossy(&bytes);
                for size in [1, 7, SMALL_BYTES - 1, SMALL_BYTES + 1, 5000, bytes.len()] {
                    let gathered = gather(&bytes, size);
                    assert!(gathered == expected, "{invalid:?} at {at} by {size}");
                }
            }
        }
    }

    #[test]
    fn a_large_event_like_the_last_one_is_not_copied_to_grow() {
        let mut gathered = Gathered::new(usize::MAX);
        let piece = [b'x'; 1000];
        for events in 0..3 {
            for pieces in 0..1000 {
                let held = gathered.capacity();
                gathered.push(Scanned::line_of(&piece));
                if events > 0 && pieces > 5 {
                    assert_eq!(gathered.capacity(), held);
                }
            }
            let text = gathered.take().into_owned();
            assert!(text.capacity() <= 2 * text.len());
            gathered.clear();
        }
    }

    #[test]
    fn the_buffer_has_no_room_beyond_what_is_allowed() {
        let mut gathered = Gathered::new(10_000);
        for _ in 0..100 {
            gathered.push(Scanned::line_of(&[b'x'; 100]));
            assert!(gathered.capacity() <= 10_000);
        }
        assert_eq!(gathered.len(), 10_000);
    }

    #[test]
    fn the_buffer_grows_in_few_steps_and_never_far_ahead() {
        let mut held = 0;
        let mut steps = 0;
        for needed in (0..64 * 1024 * 1024).step_by(10_000) {
            if needed > held {
                held = room(held, needed, 0);
                steps += 1;
                assert!(
                    held <= (needed + ROOM_AHEAD_BYTES).max(2 * needed),
                    "{held} for {needed}"
                );
            }
        }
        assert!(steps <= 9, "{steps} steps");
        assert_eq!(room(4096, usize::MAX, 0), usize::MAX);
        assert_eq!(room(0, 100, 1_000_000), 128);
    }
}
