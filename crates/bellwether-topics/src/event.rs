//! What a log holds and what a reader gets: frames with their cursors, and gaps.

pub(crate) mod cursor;
pub(crate) mod delivery;
pub(crate) mod frame;
pub(crate) mod gap;
