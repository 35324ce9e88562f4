//! [`Block`]: the event that is being gathered, field by field, until its blank line comes.

use crate::field::{EventId, EventName};
use crate::gathered::Gathered;
use crate::scanned::Scanned;

/// See the module.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) data: Gathered,
    /// Tells empty data from none: only the former makes an event.
    pub(crate) has_data: bool,
    name: EventName,
    /// Not the last event id before the blank line has come.
    id: EventId,
    has_id: bool,
    /// The lengths of name and id.
    pub(crate) heading_bytes: usize,
}

/// What a line means beyond the block that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Comment,
    /// Milliseconds.
    Retry(u64),
}

impl Block {
    /// Empty, with at most this many bytes of data.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            data: Gathered::new(most),
            has_data: false,
            name: EventName::default(),
            id: EventId::default(),
            has_id: false,
            heading_bytes: 0,
        }
    }

    /// What counts against the limit.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.heading_bytes
    }

    /// The event's name, `message` if it has none or an empty one, and its data.
    #[inline]
    pub(crate) fn name_and_data(&mut self) -> (&EventName, &mut Gathered) {
        static MESSAGE: EventName = EventName::MESSAGE;
        // Most events have neither name nor id.
        let has_name = self.heading_bytes > 0 && !self.name.is_empty();
        let name = if has_name { &self.name } else { &MESSAGE };
        (name, &mut self.data)
    }

    /// The blank line has come: the id counts from now on.
    #[inline]
    pub(crate) fn commit_id(&mut self, last_event_id: &mut EventId) {
        if self.has_id {
            self.has_id = false;
            std::mem::swap(last_event_id, &mut self.id);
        }
    }

    /// Empties it for the next event.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.has_data = false;
        if self.heading_bytes > 0 {
            self.heading_bytes = 0;
            self.name.clear();
        }
    }

    /// Interprets one line that is not blank, given without its break.
    pub(crate) fn read_line(&mut self, line: Scanned<'_>) -> Effect {
        // Names are compared as they are, byte by byte; whatever is none of these four is ignored.
        match line.bytes().first() {
            Some(b':') => return Effect::Comment,
            Some(b'd') => {
                self.begin_data_line(line);
            }
            Some(b'e') => {
                if let Some(value) = line.rest(|line| value_of(line, b"event")) {
                    self.name.set_line(value);
                    self.measure_heading();
                }
            }
            Some(b'i') => {
                // An id with U+0000 is ignored; the id that the block may have had before it stays.
                if let Some(value) = line.rest(|line| value_of(line, b"id"))
                    && !value.bytes().contains(&0)
                {
                    self.id.set_line(value);
                    self.has_id = true;
                    self.measure_heading();
                }
            }
            Some(b'r') => {
                if let Some(retry) = value_of(line.bytes(), b"retry").and_then(milliseconds) {
                    return Effect::Retry(retry);
                }
            }
            _ => {}
        }
        Effect::None
    }

    /// Adds a line to the data if it is one, or the beginning of one.
    #[inline(always)]
    pub(crate) fn begin_data_line(&mut self, line: Scanned<'_>) {
        let Some(value) = line.rest(|line| value_of(line, b"data")) else {
            return;
        };
        if self.has_data {
            self.data.push_break();
        }
        self.has_data = true;
        self.data.push(value);
    }

    fn measure_heading(&mut self) {
        let id = if self.has_id {
            self.id.as_bytes().len()
        } else {
            0
        };
        self.heading_bytes = self.name.as_bytes().len() + id;
    }
}

/// The value of the line's field if it has this name. One space after the colon is not part of it; without a colon
/// the value is empty.
#[inline]
pub(crate) fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

/// The longest delay that is kept, 285 millennia: the last number of milliseconds that every reader of JSON has exact.
const MAX_TOLD_MS: u64 = 1 << 53;

/// Reads a number of ASCII digits; one that is too large becomes the largest.
fn milliseconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(value.min(MAX_TOLD_MS))
}
