//! Tags: the bits in a cursor by which a history tells a position of its own from one of another history. Pure.

use crate::event::cursor::Offset;
use crate::event::gap::GapReason;

/// How a cursor's tag is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// The log lives in this process and cannot lose its end. Tags are a function of this secret and the offset, so a
    /// cursor can be checked even after its record is gone.
    Derived(u64),
    /// Tags are whatever the broker's records hold; the record must be looked at.
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
    /// It is a position in this history.
    Proven,
    /// It is not.
    Lost(GapReason),
    /// It lies before what is here; only the broker can tell.
    Older,
    /// It lies beyond what is here; perhaps this node lags behind.
    Ahead,
}

/// The tag of an offset in a log of this process. Mixes the bits as SplitMix64 does; it is no secret's guard, since an
/// id that somebody makes up leads to nothing but another position in the same history.
pub(super) fn derive_tag(secret: u64, offset: Offset) -> u32 {
    if offset == Offset::ZERO {
        return 0;
    }
    let mut bits = secret ^ offset.low().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}
