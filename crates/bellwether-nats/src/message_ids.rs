//! [`MessageIds`]: ids for records without an idempotency key, so that sending one again never stores it twice.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Makes message ids that no other broker makes, and this one only once.
#[derive(Debug)]
pub(crate) struct MessageIds {
    /// 96 random bits of this broker.
    prefix: String,
    next: AtomicU64,
}

impl MessageIds {
    pub(crate) fn new() -> Self {
        let mut bits = [0; 12];
        if SystemRandom::new().fill(&mut bits).is_err() {
            bits.fill_with(|| fastrand::u8(..));
        }
        Self {
            prefix: BASE64_URL_SAFE_NO_PAD.encode(bits),
            next: AtomicU64::new(0),
        }
    }

    /// The id has a dot, which no hash of a key has.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}.{number:x}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;

    #[test]
    fn message_ids_never_repeat() {
        let (ids, other) = (MessageIds::new(), MessageIds::new());
        assert_ne!(ids.next(), ids.next());
        assert_ne!(ids.prefix, other.prefix);
        assert!(ids.next().contains('.') && !name::message_id("t", "k").contains('.'));
    }
}
