//! [`Gathered`]: the data of an event that came in pieces, valid text as far as it has been looked at.
//!
//! Small pieces wait until there are enough of them to be checked at once; large ones are checked where they lie, while
//! the processor still has them at hand, and copied once, to where they stay. With the first invalid byte that ends:
//! from then on the bytes are gathered as they are, and replaced all at once in the end. That is as good as line by
//! line, since a line break is ASCII and so never part of a longer sequence.

use std::borrow::Cow;

use crate::text::{lossy, valid};

/// How many bytes may wait to be checked. Data of no more than that goes out as a borrowed text, and the buffer is there
/// for the next event; larger data goes out in the buffer itself.
pub(crate) const WAITING_BYTES: usize = 4 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    text: String,
    /// Follows the text and is not checked yet; after the first invalid byte it is all there is.
    rest: Vec<u8>,
    is_invalid: bool,
}

impl Gathered {
    /// How many bytes there are, as they came.
    pub(crate) fn len(&self) -> usize {
        self.text.len() + self.rest.len()
    }

    /// Adds bytes, wherever they may be cut.
    #[inline]
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.is_invalid || self.rest.len() + piece.len() <= WAITING_BYTES {
            self.rest.extend_from_slice(piece);
        } else {
            self.push_checked(piece);
        }
    }

    /// Adds one byte.
    #[inline]
    pub(crate) fn push_byte(&mut self, byte: u8) {
        self.rest.push(byte);
    }

    /// Checks what has waited and the piece, but for a character that the piece cuts at its end.
    fn push_checked(&mut self, piece: &[u8]) {
        let (mut first, mut piece) = (&piece[..0], piece);
        if !self.rest.is_empty() {
            // The last character that has waited may go on here.
            let more = piece.iter().take(3).take_while(|byte| is_inner(**byte));
            (first, piece) = piece.split_at(more.count());
        }
        self.rest.extend_from_slice(first);
        self.check_rest();
        let (whole, cut) = piece.split_at(piece.len() - cut_character(piece));
        match valid(whole) {
            Some(text) if !self.is_invalid => {
                self.text.push_str(text);
                self.rest.extend_from_slice(cut);
            }
            _ => {
                self.give_up();
                self.rest.extend_from_slice(piece);
            }
        }
    }

    /// Moves what has waited to the text.
    fn check_rest(&mut self) {
        match valid(&self.rest) {
            Some(text) if !self.is_invalid => {
                self.text.push_str(text);
                self.rest.clear();
            }
            _ => self.give_up(),
        }
    }

    /// Bytes that are no text: all of them go together.
    fn give_up(&mut self) {
        if !self.is_invalid {
            self.is_invalid = true;
            let mut all = std::mem::take(&mut self.text).into_bytes();
            all.append(&mut self.rest);
            self.rest = all;
        }
    }

    /// The text, invalid sequences replaced. What is borrowed stays until [`clear`](Self::clear), the rest is gone.
    #[inline]
    pub(crate) fn take(&mut self) -> Cow<'_, str> {
        if self.text.is_empty() && self.rest.len() <= WAITING_BYTES {
            return lossy(&self.rest);
        }
        self.check_rest();
        match self.is_invalid {
            false => Cow::Owned(std::mem::take(&mut self.text)),
            true => {
                let all = std::mem::take(&mut self.rest);
                Cow::Owned(String::from_utf8_lossy(&all).into_owned())
            }
        }
    }

    /// Empties it for the next event.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.rest.clear();
        self.is_invalid = false;
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity() + self.rest.capacity()
    }
}

/// Whether the byte is one of a character, but not its first.
fn is_inner(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// How many bytes at the end may be the beginning of a longer character.
fn cut_character(bytes: &[u8]) -> usize {
    let inner = bytes
        .iter()
        .rev()
        .take(3)
        .take_while(|byte| is_inner(**byte));
    let inner = inner.count();
    let first = bytes
        .len()
        .checked_sub(inner + 1)
        .and_then(|at| bytes.get(at));
    let length = match first {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xff) => 4,
        _ => return 0,
    };
    if inner + 1 < length { inner + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of each length, enough of them to be checked in between.
    fn long_text() -> String {
        "aé€😀\n".repeat(2 * WAITING_BYTES / 11)
    }

    fn gather(bytes: &[u8], size: usize) -> String {
        let mut gathered = Gathered::default();
        for piece in bytes.chunks(size) {
            gathered.push(piece);
        }
        assert_eq!(gathered.len(), bytes.len());
        gathered.take().into_owned()
    }

    #[test]
    fn text_is_the_same_however_it_is_cut() {
        let text = long_text();
        let sizes = (1..20).chain(WAITING_BYTES - 5..WAITING_BYTES + 20);
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
            for at in [0, 1, 11, 4400, text.len()] {
                let mut bytes = text.clone().into_bytes();
                bytes.splice(at..at, invalid.iter().copied());
                let expected = String::from_utf8_lossy(&bytes);
                for size in [
                    1,
                    7,
                    WAITING_BYTES - 1,
                    WAITING_BYTES + 1,
                    5000,
                    bytes.len(),
                ] {
                    assert!(
                        gather(&bytes, size) == expected,
                        "{invalid:?} at {at} by {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_cut_character_is_known_by_its_first_byte() {
        for (bytes, cut) in [
            (&b"abc"[..], 0),
            (b"", 0),
            (b"\xc3", 1),
            (b"a\xe2\x82", 2),
            (b"a\xe2\x82\xac", 0),
            (b"\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"\x80\x80\x80\x80", 0),
        ] {
            assert_eq!(cut_character(bytes), cut, "{bytes:?}");
        }
    }
}
