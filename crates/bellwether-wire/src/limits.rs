//! [`Limits`]: how much the decoder holds on behalf of a peer that it does not trust.

/// How long a line and how large an event may become before the decoder gives up.
///
/// Both defaults are 4 MiB: far above any event meant for a browser, and little enough for one connection. A decoder
/// holds at most one unfinished line and one unfinished event, in buffers with room ahead: with both limits at `n` bytes
/// that is 4 × `n`. Only data that is full of invalid UTF-8 takes more, when it is handed out: a replaced
/// byte becomes the three of U+FFFD.
///
/// ```
/// use bellwether_wire::{Decoder, Limits};
///
/// let mut decoder = Decoder::with_limits(Limits::default().max_line_bytes(8));
/// let error = decoder.decode(&mut &b"data: too long"[..]).unwrap_err();
/// assert_eq!(error.to_string(), "cannot decode the event stream: found a line of more than 8 bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_line_bytes: usize,
    pub(crate) max_event_bytes: usize,
}

impl Limits {
    /// The default of both limits, 4 MiB.
    pub const DEFAULT_BYTES: usize = 4 * 1024 * 1024;

    /// Sets the longest line, in bytes as they come over the wire, field name included and line break not.
    ///
    /// It counts for lines that are ignored too, such as comments. A value below 6 lets no data through.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Sets the largest event: the bytes of its data as they come, with one per line break, of its name and of its id.
    ///
    /// It is looked at when a line ends. Zero lets through events with empty data only.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_bytes: Self::DEFAULT_BYTES,
            max_event_bytes: Self::DEFAULT_BYTES,
        }
    }
}
