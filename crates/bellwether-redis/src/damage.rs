//! [`Damage`]: what the program's log is told of damaged records, once for each and not for each reader.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bellwether_topics::Offset;
use bellwether_topics::broker::Record;

/// The most damaged records of a log that are told.
const MAX_TOLD: usize = 1024;

/// The damaged records that were told.
#[derive(Default)]
pub(crate) struct Damage {
    /// Guards the places; held for one look.
    told: Mutex<HashSet<Offset>>,
}

impl Damage {
    /// Tells those of these records that are damaged and were not told before.
    pub(crate) fn tell(&self, log: &crate::broker::Log, records: &[Record]) {
        for record in records.iter().filter(|record| record.is_damaged) {
            if self.is_news(record.offset) {
                tracing::error!(
                    server = %log.server.address,
                    stream = %log.keys.log,
                    record = %crate::reply::id(record.offset),
                    "an entry is not what was written; its readers are told a gap over it"
                );
            }
        }
    }

    fn is_news(&self, offset: Offset) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert(offset)
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Damage").finish_non_exhaustive()
    }
}
