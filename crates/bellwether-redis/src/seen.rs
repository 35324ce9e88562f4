//! The newest record that this node knows of, by which a server that has lost it is found out.
//!
//! With `appendfsync everysec` a server answers before it writes while an earlier sync is under way, and a replica
//! may lag: either can come back without records that it had confirmed. The log cannot show that once others have
//! appended to it. The node that saw the records can.

use std::sync::{Mutex, PoisonError};

use bellwether_topics::{Epoch, Offset};

use crate::reply;

/// The newest record seen. Moves forward within an epoch, and to another epoch once that is seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Guards the newest record and the epoch that it belongs to.
    newest: Mutex<Option<(Epoch, Offset)>>,
}

impl Seen {
    pub(crate) fn advance(&self, epoch: Epoch, offset: Offset) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = newest.is_some_and(|(known, at)| known == epoch && at >= offset);
        // An empty log has no record that could be lost.
        if !is_older && offset > Offset::ZERO {
            *newest = Some((epoch, offset));
        }
    }

    /// The argument for the scripts: the epoch and the id, or nothing.
    pub(crate) fn argument(&self) -> String {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.map_or_else(String::new, |(epoch, offset)| {
            format!("{:016x} {}", epoch.0, reply::id(offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_moves_forward_within_an_epoch_and_follows_the_log_to_the_next() {
        let seen = Seen::default();
        assert_eq!(seen.argument(), "");
        seen.advance(Epoch(1), Offset::ZERO);
        assert_eq!(seen.argument(), "", "an empty log");
        seen.advance(Epoch(1), Offset::pair(7, 1));
        seen.advance(Epoch(1), Offset::pair(5, 0));
        assert_eq!(seen.argument(), "0000000000000001 7-1");
        seen.advance(Epoch(2), Offset::pair(5, 0));
        assert_eq!(seen.argument(), "0000000000000002 5-0");
    }
}
