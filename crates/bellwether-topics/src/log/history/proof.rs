//! Tags: the bits in a cursor by which a history tells a position of its own from one of another history. Pure.

use crate::event::cursor::Offset;
use crate::event::gap::GapReason;

/// How a cursor's tag is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// The log lives in this process and cannot lose its end. Tags are a function of this secret and the offset, so a
    /// cursor can be checked even after its record is gone.
    Derived(u64),
    /// Tags are those of the broker's records, so a cursor is compared with its record.
    Stored,
}

impl Proof {
    /// The tag of a new record.
    pub(super) fn new_tag(&self, offset: Offset) -> u32 {
        match self {
            Self::Derived(secret) => derive_tag(*secret, offset),
            Self::Stored => fastrand::u32(..),
        }
    }
}

/// What is known about the position that a cursor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The position is one of this history.
    Proven,
    /// The position is not one of this history.
    Lost(GapReason),
    /// The position is before what is here, so only the broker knows.
    Older,
    /// The position is beyond what is here; perhaps this node lags behind.
    Ahead,
}

/// The tag of an offset in a log of this process. Mixes the bits as SplitMix64 does. It need not resist an attacker,
/// since an id that a client makes up leads only to another position in the same history.
pub(super) fn derive_tag(secret: u64, offset: Offset) -> u32 {
    if offset == Offset::ZERO {
        return 0;
    }
    let mut bits = secret ^ offset.low().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}
