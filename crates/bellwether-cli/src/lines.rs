//! [`Lines`]: bytes cut into lines, with a bound on how long one may be. Pure.

use std::ops::Range;

/// Cuts bytes into lines at LF; a CR before it goes too.
///
/// A line beyond the bound is not kept: it is reported as too long, and the next line is whole again.
#[derive(Debug)]
pub(crate) struct Lines {
    max_bytes: usize,
    buffer: Vec<u8>,
    /// Where the unread part begins.
    start: usize,
    /// Up to here the unread part is known to have no LF.
    searched: usize,
    /// What there is of the present line is too long and thrown away.
    is_too_long: bool,
    number: u64,
}

/// One line, by its number from 1 on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) number: u64,
    /// `None` if it is longer than allowed.
    pub(crate) bytes: Option<&'a [u8]>,
}

impl Lines {
    /// Lines of at most this many bytes, without their break.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            is_too_long: false,
            number: 0,
        }
    }

    /// Adds bytes that have arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is complete.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            // One more than allowed, for the CR of a break that has not come whole.
            if self.buffer.len() - self.start > self.max_bytes + 1 {
                self.is_too_long = true;
                self.start = self.buffer.len();
            }
            return None;
        };
        let end = self.searched + at;
        let line = self.start..end;
        self.start = end + 1;
        self.searched = self.start;
        Some(self.line(line))
    }

    /// What follows the last break, at the end of the input; `None` if that is nothing.
    pub(crate) fn finish(&mut self) -> Option<Line<'_>> {
        let line = self.start..self.buffer.len();
        self.start = line.end;
        self.searched = line.end;
        if line.is_empty() && !self.is_too_long {
            return None;
        }
        Some(self.line(line))
    }

    fn line(&mut self, at: Range<usize>) -> Line<'_> {
        self.number += 1;
        let is_too_long = std::mem::take(&mut self.is_too_long);
        let bytes = self.buffer.get(at).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Line {
            number: self.number,
            bytes: Some(bytes).filter(|bytes| !is_too_long && bytes.len() <= self.max_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of these bytes, given in pieces of this size.
    fn cut(bytes: &[u8], size: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(5);
        let mut found = Vec::new();
        let own = |line: Line<'_>| {
            let text = line.bytes.map(|bytes| String::from_utf8(bytes.to_vec()));
            (line.number, text.map(Result::unwrap))
        };
        for piece in bytes.chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next() {
                found.push(own(line));
            }
        }
        found.extend(lines.finish().map(own));
        found
    }

    #[test]
    fn the_cut_of_the_bytes_makes_no_difference() {
        let bytes = b"a\r\n\n12345\r\n123456\n1234567890\nlast";
        let expected = [
            (1, Some("a")),
            (2, Some("")),
            (3, Some("12345")),
            (4, None),
            (5, None),
            (6, Some("last")),
        ];
        let expected = expected.map(|(number, text)| (number, text.map(str::to_owned)));
        for size in 1..=bytes.len() {
            assert_eq!(cut(bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_break_at_the_end_begins_no_line() {
        assert_eq!(cut(b"", 1), []);
        assert_eq!(cut(b"a\n", 1), [(1, Some("a".to_owned()))]);
        assert_eq!(cut(b"1234567890", 3), [(1, None)]);
    }
}
