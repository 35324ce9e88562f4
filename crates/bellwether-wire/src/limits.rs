//! [`Limits`]: how much the decoder holds on behalf of a peer that it does not trust.

/// Maximum length of a line and maximum size of an event, in bytes. A stream beyond them cannot be decoded.
///
/// Both defaults are 4 MiB: far above any event meant for a browser, and little enough for one connection. A
/// decoder holds at most one unfinished line and one unfinished event, in buffers with spare capacity: with
/// both limits at `n` bytes that is 4 × `n`. Only data that is full of invalid UTF-8 takes more when it is
/// returned, since U+FFFD replaces each invalid byte by three.
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

    /// Maximum length of a line in bytes, as they come over the wire: with the field name, without the line
    /// break. Default: 4 MiB.
    ///
    /// It also holds for lines that are ignored, such as comments. With a value below 6 no data can be
    /// decoded. A large value lets a peer make the decoder hold that much for a line that never ends.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Maximum size of an event in bytes: its data with one byte for each line break, its name and its id.
    /// Default: 4 MiB.
    ///
    /// The size is checked when a line ends. With zero, only events with empty data can be decoded.
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
