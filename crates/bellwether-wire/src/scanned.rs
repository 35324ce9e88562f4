//! [`Scanned`] and [`ScannedBuf`]: bytes of which it is known whether they are ASCII, since the search for the line's
//! end has checked each of them.
//!
//! ASCII is UTF-8, so such bytes become text without a second look. This is the one module of the project with `unsafe`
//! code. What it earns: decoding is 1.2 to 1.8 times as fast as with a check by vector instructions
//! (docs/bench/decode.md). What it relies on: [`line_end`] says "ASCII" of nothing else, which its tests compare with
//! the plain search for all lengths and places, and the fields below are set nowhere but here.

#![allow(unsafe_code)]

use std::borrow::Cow;

use crate::scan::line_end;
use crate::text::{lossy, valid};

#[cfg(test)]
thread_local! {
    /// How many bytes this thread has checked.
    pub(crate) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Bytes of one line or of a piece of one, without a line break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned<'a> {
    bytes: &'a [u8],
    /// Invariant: if set, each byte is below 0x80.
    is_ascii: bool,
}

impl<'a> Scanned<'a> {
    /// The bytes before the first CR or LF, or all if there is none.
    #[inline(always)]
    pub(crate) fn line_of(input: &'a [u8]) -> Self {
        let (end, is_ascii) = line_end(input);
        #[cfg(test)]
        LOOKED_AT.set(LOOKED_AT.get() + end);
        let bytes = input.get(..end).unwrap_or(input);
        Self { bytes, is_ascii }
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    /// A part of the bytes: what is left of them at the end, if `rest_of` finds any.
    #[inline]
    pub(crate) fn rest(self, rest_of: impl FnOnce(&'a [u8]) -> Option<&'a [u8]>) -> Option<Self> {
        let length = rest_of(self.bytes)?.len();
        let start = self.bytes.len().checked_sub(length)?;
        // Cut from what was scanned, so that the invariant holds whatever `rest_of` returns.
        let bytes = self.bytes.get(start..)?;
        Some(Self { bytes, ..self })
    }

    /// The bytes as text, invalid sequences replaced by U+FFFD.
    #[inline]
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.is_ascii {
            // SAFETY: all bytes are ASCII by the invariant, and so UTF-8.
            Cow::Borrowed(unsafe { std::str::from_utf8_unchecked(self.bytes) })
        } else {
            lossy(self.bytes)
        }
    }
}

/// Scanned bytes, gathered.
#[derive(Debug, Default)]
pub(crate) struct ScannedBuf {
    bytes: Vec<u8>,
    /// Invariant: unless set, each byte is below 0x80.
    has_more_than_ascii: bool,
}

impl ScannedBuf {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for this many bytes in all.
    pub(crate) fn reserve_total(&mut self, bytes: usize) {
        self.bytes
            .reserve_exact(bytes.saturating_sub(self.bytes.len()));
    }

    #[inline]
    pub(crate) fn push(&mut self, piece: Scanned<'_>) {
        self.has_more_than_ascii |= !piece.is_ascii;
        self.bytes.extend_from_slice(piece.bytes);
    }

    /// Adds the break between two lines, which is ASCII.
    #[inline]
    pub(crate) fn push_break(&mut self) {
        self.bytes.push(b'\n');
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.has_more_than_ascii = false;
    }

    /// The bytes as text, invalid sequences replaced by U+FFFD.
    #[inline]
    pub(crate) fn text(&self) -> Cow<'_, str> {
        let all = Scanned {
            bytes: &self.bytes,
            is_ascii: !self.has_more_than_ascii,
        };
        all.text()
    }

    /// The bytes as text of its own, without a copy unless bytes have to be replaced; much room that is left is given
    /// back.
    pub(crate) fn take_text(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.bytes);
        let is_checked = std::mem::take(&mut self.has_more_than_ascii);
        if is_checked && valid(&bytes).is_none() {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        if bytes.capacity() / 2 > bytes.len() {
            bytes.shrink_to_fit();
        }
        // SAFETY: the bytes are UTF-8, as they are all ASCII by the invariant or have just been checked.
        unsafe { String::from_utf8_unchecked(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_a_full_check_makes_of_the_bytes() {
        for line in [
            &b""[..],
            b"plain",
            "a\u{e9}\u{20ac}\u{1f600}".as_bytes(),
            b"\xff in front",
            b"at the end \xe2\x82",
            b"long enough for blocks of sixteen bytes, then \xf0\x9f\x98 invalid, then more of it",
        ] {
            let scanned = Scanned::line_of(line);
            assert_eq!(scanned.text(), String::from_utf8_lossy(line));
            let mut buffer = ScannedBuf::default();
            for _ in 0..2 {
                for piece in line.chunks(3) {
                    buffer.push(Scanned::line_of(piece));
                }
                assert_eq!(buffer.text(), String::from_utf8_lossy(line));
                assert_eq!(buffer.take_text(), String::from_utf8_lossy(line));
                assert_eq!((buffer.len(), buffer.text()), (0, "".into()));
            }
        }
    }

    #[test]
    fn one_byte_beyond_ascii_is_remembered_until_the_buffer_is_emptied() {
        let mut buffer = ScannedBuf::default();
        buffer.push(Scanned::line_of(b"\xff"));
        buffer.push(Scanned::line_of(b"plain"));
        buffer.push_break();
        assert_eq!(buffer.text(), "\u{fffd}plain\n");
        buffer.clear();
        buffer.push(Scanned::line_of(b"plain"));
        assert!(!buffer.has_more_than_ascii);
    }

    #[test]
    fn the_rest_of_a_line_is_cut_from_the_line() {
        let line = Scanned::line_of(b"data: x\nignored");
        let rest = line.rest(|line| line.strip_prefix(b"data: ")).unwrap();
        assert_eq!((line.bytes(), rest.bytes()), (&b"data: x"[..], &b"x"[..]));
        assert!(line.rest(|line| line.strip_prefix(b"id")).is_none());
        // Bytes from elsewhere count for their length only.
        let rest = line.rest(|_| Some(b"\xff\xff")).unwrap();
        assert_eq!(rest.text(), " x");
    }
}
