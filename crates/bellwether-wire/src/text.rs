//! [`Text`]: UTF-8 that is cheap to make and cheap to clone, the stuff that events are made of.
//!
//! Three places can hold the bytes: a literal of the program, the value itself when the text is short, or shared
//! memory. `unsafe` is forbidden here, so [`Text::as_str`] looks at the bytes again; the encoder works on the bytes
//! and never pays for that.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

/// The longest text, in bytes, that is kept in the value itself instead of on the heap.
///
/// The shared variant takes the same size.
pub(crate) const INLINE_BYTES: usize = INLINE_LEN as usize;
const INLINE_LEN: u8 = 32;

/// UTF-8 text that is cheap to clone: what [`ServerSentEvent::text`](crate::ServerSentEvent::text) takes.
///
/// | made from | cost |
/// |---|---|
/// | [`Text::from_static`] | nothing |
/// | `&str`, `&String` | up to 32 bytes are copied into the value, longer text is copied once to the heap |
/// | `String`, `Box<str>`, an owned `Cow` | nothing is copied above 32 bytes |
/// | [`Bytes`] (fallible) | checked to be UTF-8, then shared |
///
/// A clone never copies more than 32 bytes.
///
/// ```
/// use bellwether_wire::Text;
///
/// let text = Text::from(format!("{} degrees", 21));
/// assert_eq!(text.as_str(), "21 degrees");
/// ```
#[derive(Clone)]
pub struct Text(Repr);

// Invariant: each variant holds valid UTF-8.
#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Inline { len: u8, bytes: InlineBytes },
    Shared(Bytes),
}

/// The bytes of short text, where the words of the other variants are: if they began right behind the length, a text
/// would be moved in parts of other sizes than it was written in, for which the processor has to wait.
#[derive(Clone)]
#[repr(align(8))]
struct InlineBytes([u8; INLINE_BYTES]);

impl Text {
    /// The empty text.
    pub const EMPTY: Self = Self::from_static("");

    /// Text of a literal. Nothing is copied, neither now nor when it is cloned.
    ///
    /// ```
    /// use bellwether_wire::Text;
    ///
    /// const GREETING: Text = Text::from_static("hello");
    /// assert_eq!(GREETING.len(), 5);
    /// ```
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }

    /// The text. Long text is checked again at each call, which takes about 30 microseconds for 1 MiB.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Inline { .. } | Repr::Shared(_) => {
                std::str::from_utf8(self.as_bytes()).expect("text is UTF-8 wherever one is made")
            }
        }
    }

    /// The bytes of the text, valid UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Static(text) => text.as_bytes(),
            // `get` cannot fail, as `len` is set from a slice that fitted.
            Repr::Inline { len, bytes } => bytes.0.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Static(text) => text.len(),
            Repr::Inline { len, .. } => usize::from(*len),
            Repr::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether the text has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes bytes that the caller knows to be UTF-8, such as the output of a JSON serializer.
    pub(crate) fn from_utf8_vec(bytes: Vec<u8>) -> Self {
        debug_assert!(std::str::from_utf8(&bytes).is_ok());
        match inline(&bytes) {
            Some(text) => text,
            None => Self(Repr::Shared(Bytes::from(bytes))),
        }
    }

    /// Copies bytes that the caller knows to be UTF-8.
    #[cfg(feature = "json")]
    pub(crate) fn from_utf8_slice(bytes: &[u8]) -> Self {
        debug_assert!(std::str::from_utf8(bytes).is_ok());
        match inline(bytes) {
            Some(text) => text,
            None => Self(Repr::Shared(Bytes::copy_from_slice(bytes))),
        }
    }

    /// Becomes this text.
    ///
    /// In place, since moving what has just been written in small parts makes the processor wait.
    #[inline]
    pub(crate) fn set(&mut self, text: Cow<'_, str>) {
        let Ok(new @ 0..=INLINE_LEN) = u8::try_from(text.len()) else {
            *self = Self::from(text);
            return;
        };
        if !matches!(self.0, Repr::Inline { .. }) {
            self.make_inline();
        }
        if let Repr::Inline { len, bytes } = &mut self.0 {
            *len = new;
            bytes.fill(text.as_bytes());
        }
    }

    /// Becomes empty, and ready to be set again.
    #[inline]
    pub(crate) fn clear(&mut self) {
        match &mut self.0 {
            Repr::Inline { len, .. } => *len = 0,
            Repr::Static(_) | Repr::Shared(_) => self.make_inline(),
        }
    }

    #[cold]
    fn make_inline(&mut self) {
        let bytes = InlineBytes([0; INLINE_BYTES]);
        self.0 = Repr::Inline { len: 0, bytes };
    }
}

impl InlineBytes {
    /// Copies short text, as two pieces of a fixed size that may overlap: a call of `memcpy` costs more than that.
    #[inline]
    fn fill(&mut self, text: &[u8]) {
        let is_done =
            self.fill_by::<16>(text) || self.fill_by::<8>(text) || self.fill_by::<4>(text);
        if !is_done {
            for (room, byte) in self.0.iter_mut().zip(text) {
                *room = *byte;
            }
        }
    }

    #[inline(always)]
    fn fill_by<const N: usize>(&mut self, text: &[u8]) -> bool {
        let room = self.0.get_mut(..text.len());
        if let Some(room) = room
            && let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>())
        {
            if let Some(room) = room.first_chunk_mut() {
                *room = *first;
            }
            if let Some(room) = room.last_chunk_mut() {
                *room = *last;
            }
            return true;
        }
        false
    }
}

/// From this length on, checking by the processor's vector instructions is worth the call.
const VECTOR_BYTES: usize = 64;

/// The bytes as text, if they are that.
#[inline]
pub(crate) fn valid(bytes: &[u8]) -> Option<&str> {
    if bytes.len() < VECTOR_BYTES {
        std::str::from_utf8(bytes).ok()
    } else {
        simdutf8::basic::from_utf8(bytes).ok()
    }
}

/// The bytes as text, invalid sequences replaced by U+FFFD as the UTF-8 decoder of WHATWG Encoding does.
#[inline]
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match valid(bytes) {
        Some(text) => Cow::Borrowed(text),
        None => String::from_utf8_lossy(bytes),
    }
}

/// Copies short UTF-8 into a value; `None` if it is too long for that.
fn inline(text: &[u8]) -> Option<Text> {
    let mut bytes = InlineBytes([0; INLINE_BYTES]);
    bytes.0.get_mut(..text.len())?.copy_from_slice(text);
    let len = u8::try_from(text.len()).ok()?;
    Some(Text(Repr::Inline { len, bytes }))
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        match inline(text.as_bytes()) {
            Some(text) => text,
            None => Self(Repr::Shared(Bytes::copy_from_slice(text.as_bytes()))),
        }
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from_utf8_vec(text.into_bytes())
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Self::from(String::from(text))
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(Repr::Shared(bytes)))
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::EMPTY
    }
}

// Equality is that of the text; where the bytes live does not count.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

// The order of bytes is the order of `str`.
impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_wherever_its_bytes_live() {
        for length in [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 1000] {
            let string = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let owned = Text::from(string.clone());
            assert_eq!(owned, Text::from(string.as_str()));
            assert_eq!(owned.as_str(), string);
            assert_eq!(owned.len(), string.len());
            assert_eq!(Ok(owned), Text::try_from(Bytes::from(string)));
        }
        assert_eq!(Text::from_static("abc"), Text::from("abc"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert!(Text::try_from(Bytes::from_static(b"\xff")).is_err());
    }
}
