//! [`Cursor`]: a position in a log, and the text by which a client names it in `Last-Event-ID`.
//!
//! The text is `1.<epoch>.<offset>.<tag>`: a version, 64 bits in 11 base-62 digits, the offset in decimal (two numbers
//! with a dash between them where the broker's offsets are pairs), 32 bits in 6 base-62 digits. It is printable ASCII
//! of at most [`MAX_CURSOR_BYTES`] bytes. Each cursor has exactly one text, and any other text is refused: a
//! `Last-Event-ID` is untrusted, since a hostile page can make a browser send any value.

use std::fmt;
use std::str::FromStr;

use bellwether_wire::EventId;

/// The longest text of a cursor, in bytes.
pub const MAX_CURSOR_BYTES: usize = 64;

const VERSION: &str = "1.";
const EPOCH_DIGITS: usize = 11;
const TAG_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 64 random bits that name one unbroken history of a log.
///
/// A log that cannot prove that it continues its earlier history (a process with its log in memory, a deleted data
/// directory) takes a new epoch. Cursors of the old epoch then lead to a gap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// A new epoch.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({:016x})", self.0)
    }
}

/// The offset of a record in its log: an ordered pair of numbers.
///
/// Most brokers count with one number, and `high` is zero. Redis Streams count with milliseconds and a sequence number
/// within them, which are `high` and `low`. Zero is the position before the first record.
///
/// ```
/// use bellwether_topics::Offset;
///
/// assert!(Offset::ZERO < Offset::new(41) && Offset::new(41) < Offset::new(42));
/// let redis = Offset::pair(1_700_000_000_000, 3);
/// assert_eq!(redis.to_string(), "1700000000000-3");
/// assert_eq!((redis.high(), redis.low()), (1_700_000_000_000, 3));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset {
    high: u64,
    low: u64,
}

impl Offset {
    /// The offset before the first record.
    pub const ZERO: Self = Self::new(0);
    /// The offset beyond every record.
    pub const MAX: Self = Self::pair(u64::MAX, u64::MAX);

    /// The offset of a broker that counts with one number.
    pub const fn new(offset: u64) -> Self {
        Self {
            high: 0,
            low: offset,
        }
    }

    /// The offset of a broker that counts with two numbers.
    pub const fn pair(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// The first number of the pair, zero for most brokers.
    pub const fn high(self) -> u64 {
        self.high
    }

    /// The number, or the second one of the pair.
    pub const fn low(self) -> u64 {
        self.low
    }

    /// The number of offsets after `earlier` up to this one, if both count with one number.
    pub(crate) fn distance_from(self, earlier: Self) -> Option<u64> {
        (self.high == earlier.high).then(|| self.low.saturating_sub(earlier.low))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high == 0 {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.high, self.low)
        }
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A position in one history of one log: epoch, offset, and the tag of the record there.
///
/// The tag is 32 random bits that are stored in the record. A broker that lost its last records and hands out their
/// offsets again gives the new records other tags, so a cursor of a lost record is noticed.
///
/// ```
/// use bellwether_topics::{Cursor, Epoch, Offset};
///
/// let cursor = Cursor { epoch: Epoch(7), offset: Offset::new(42), tag: 1 };
/// assert_eq!(cursor.to_string(), "1.00000000007.42.000001");
/// assert_eq!("1.00000000007.42.000001".parse(), Ok(cursor));
/// assert!("1.00000000007.042.000001".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The history that the offset belongs to.
    pub epoch: Epoch,
    /// The offset of the record last seen, zero for none.
    pub offset: Offset,
    /// The tag of that record, zero at offset zero.
    pub tag: u32,
}

impl Cursor {
    /// The cursor as an event's id.
    pub fn id(&self) -> EventId {
        let mut text = TextBuffer::default();
        self.write(&mut text);
        // Digits, letters, dots and dashes are always an id.
        EventId::new(text.as_str()).unwrap_or_default()
    }

    /// Appends the text of the cursor.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let mut text = TextBuffer::default();
        self.write(&mut text);
        out.extend_from_slice(text.as_bytes());
    }

    fn write(&self, out: &mut TextBuffer) {
        out.push(VERSION.as_bytes());
        out.base62(self.epoch.0, EPOCH_DIGITS);
        out.push(b".");
        if self.offset.high != 0 {
            out.decimal(self.offset.high);
            out.push(b"-");
        }
        out.decimal(self.offset.low);
        out.push(b".");
        out.base62(self.tag.into(), TAG_DIGITS);
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = TextBuffer::default();
        self.write(&mut text);
        f.write_str(text.as_str())
    }
}

/// The error of a text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseCursorError(());

impl fmt::Display for ParseCursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text is no cursor: expected \"1.<11 letters or digits>.<number>.<6 letters or digits>\"")
    }
}

impl std::error::Error for ParseCursorError {}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or(ParseCursorError(()))
    }
}

fn parse(text: &str) -> Option<Cursor> {
    if text.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let mut parts = text.strip_prefix(VERSION)?.split('.');
    let epoch = from_base62(parts.next()?, EPOCH_DIGITS)?;
    let offset = parts.next()?;
    let tag = from_base62(parts.next()?, TAG_DIGITS)?;
    if parts.next().is_some() {
        return None;
    }
    let offset = match offset.split_once('-') {
        None => Offset::new(from_decimal(offset)?),
        // A zero in front would be a second text for the same offset.
        Some((high, low)) => match from_decimal(high)? {
            0 => return None,
            high => Offset::pair(high, from_decimal(low)?),
        },
    };
    let tag = u32::try_from(tag).ok()?;
    (offset != Offset::ZERO || tag == 0).then_some(Cursor {
        epoch: Epoch(epoch),
        offset,
        tag,
    })
}

fn from_base62(text: &str, digits: usize) -> Option<u64> {
    if text.len() != digits {
        return None;
    }
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(digit.into())
    })
}

/// Like `str::parse`, but takes only the text that `Display` gives.
fn from_decimal(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    is_canonical.then(|| text.parse().ok())?
}

/// Room for the longest cursor, on the stack: an id is written for every event published.
struct TextBuffer {
    bytes: [u8; MAX_CURSOR_BYTES],
    len: usize,
}

impl Default for TextBuffer {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_CURSOR_BYTES],
            len: 0,
        }
    }
}

impl TextBuffer {
    fn push(&mut self, text: &[u8]) {
        // The parts add up to 62 bytes at most, see `a_cursor_of_the_largest_numbers_fits`.
        if let Some(room) = self.bytes.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text);
            self.len += text.len();
        }
    }

    fn base62(&mut self, mut value: u64, digits: usize) {
        let mut out = [0; EPOCH_DIGITS];
        for digit in out[..digits].iter_mut().rev() {
            *digit = DIGITS[(value % 62) as usize];
            value /= 62;
        }
        self.push(&out[..digits]);
    }

    fn decimal(&mut self, mut value: u64) {
        let mut out = [0; 20];
        let mut at = out.len();
        loop {
            at -= 1;
            out[at] = DIGITS[(value % 10) as usize];
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.push(&out[at..]);
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> impl Strategy<Value = Cursor> {
        let number = prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
        (any::<u64>(), number.clone(), number, any::<u32>()).prop_map(|(epoch, high, low, tag)| {
            let offset = Offset::pair(high, low);
            Cursor {
                epoch: Epoch(epoch),
                offset,
                tag: if offset == Offset::ZERO { 0 } else { tag },
            }
        })
    }

    #[test]
    fn a_cursor_of_the_largest_numbers_fits() {
        let cursor = Cursor {
            epoch: Epoch(u64::MAX),
            offset: Offset::MAX,
            tag: u32::MAX,
        };
        assert_eq!(cursor.to_string().len(), 62);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    proptest! {
        #[test]
        fn every_cursor_survives_its_text(cursor in cursor()) {
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(cursor.id().as_str() == text);
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn no_text_but_its_own_reads_as_a_cursor(text in "(1\\.[0-9A-Za-z]{11}\\.[0-9+-]{0,21}\\.[0-9A-Za-z]{6})|\\PC*") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
