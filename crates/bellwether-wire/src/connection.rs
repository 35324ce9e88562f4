//! [`Connection`]: how far the bytes of one connection have been read, and the line that a piece has cut.

use crate::block::Block;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::scanned::Scanned;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line buffer that a long line has blown up beyond this is given back.
pub(crate) const KEPT_LINE_BYTES: usize = 64 * 1024;

/// What belongs to one connection and is forgotten at the next.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    /// The last line ended with CR: an LF that follows belongs to it.
    pub(crate) after_cr: bool,
    /// The length of the unfinished line, wherever its bytes are.
    pub(crate) line_bytes: usize,
    /// The unfinished line, unless it is known to be data: then its value goes straight into the block, so that
    /// large data is not copied twice. It has no CR and no LF in it.
    pub(crate) line: Vec<u8>,
    pub(crate) is_data_line: bool,
    pub(crate) block: Block,
}

/// What is to be done before the next byte is read.
// Its tag has a byte of its own, as it is looked at for each event.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    /// This many bytes of what may be a byte-order mark have been seen.
    Mark(usize),
    /// Nothing.
    Reading,
    /// The block has gone out as an event, and is to be emptied.
    Spent,
    Failed(DecodeError),
}

impl Connection {
    /// Before the first byte.
    pub(crate) fn new(limits: &Limits) -> Self {
        // An event is looked at when a line ends, so one line may come on top.
        let most = limits.max_event_bytes.saturating_add(limits.max_line_bytes);
        Self {
            phase: Phase::Mark(0),
            after_cr: false,
            line_bytes: 0,
            line: Vec::new(),
            is_data_line: false,
            block: Block::new(most),
        }
    }

    /// Skips a byte-order mark at the very beginning, which may come in pieces too.
    #[cold]
    pub(crate) fn begin(&mut self, input: &mut &[u8]) -> Result<(), DecodeError> {
        let mut seen = match self.phase {
            Phase::Mark(seen) => seen,
            Phase::Failed(error) => return Err(error),
            Phase::Reading | Phase::Spent => return Ok(()),
        };
        while let Some(expected) = BYTE_ORDER_MARK.get(seen) {
            let Some((first, rest)) = input.split_first() else {
                self.phase = Phase::Mark(seen);
                return Ok(());
            };
            if first != expected {
                // It was not one: what looked like it begins the first line.
                let beginning = BYTE_ORDER_MARK.get(..seen).unwrap_or_default();
                self.line.extend_from_slice(beginning);
                self.line_bytes = self.line.len();
                break;
            }
            seen += 1;
            *input = rest;
        }
        self.phase = Phase::Reading;
        Ok(())
    }

    /// Empties the line buffer for the next line, and gives it back if it has become large.
    pub(crate) fn clear_line(&mut self) {
        if self.line.capacity() > KEPT_LINE_BYTES {
            self.line = Vec::new();
        }
        self.line.clear();
    }

    /// Keeps a piece of a line whose end has not come.
    #[inline]
    pub(crate) fn keep(&mut self, piece: Scanned<'_>) {
        self.line_bytes += piece.len();
        if self.is_data_line {
            self.block.data.push(piece);
        } else {
            self.keep_start(piece);
        }
    }

    /// Keeps a piece of a line of which it is not known yet whether it is data.
    fn keep_start(&mut self, piece: Scanned<'_>) {
        if self.line.is_empty() && begins_data(piece.bytes()) {
            self.is_data_line = true;
            self.block.begin_data_line(piece);
            return;
        }
        self.line.extend_from_slice(piece.bytes());
        if begins_data(&self.line) {
            // It was too short to tell until now, so there is little to look at again.
            self.is_data_line = true;
            self.block.begin_data_line(Scanned::line_of(&self.line));
            self.clear_line();
        }
    }
}

/// Whether it is known where the data of this unfinished line begins: one byte after the colon tells whether there is a
/// space to be removed.
#[inline]
fn begins_data(line: &[u8]) -> bool {
    line.len() > b"data:".len() && line.starts_with(b"data:")
}
