//! [`Damage`]: log lines about damaged records, one for each record and not for each reader.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bellwether_topics::Offset;
use bellwether_topics::broker::Record;

/// The most damaged records of a log that are logged.
const MAX_LOGGED: usize = 1024;

/// The damaged records that were logged.
#[derive(Default)]
pub(crate) struct Damage {
    /// Guards the offsets; held for one lookup.
    logged: Mutex<HashSet<Offset>>,
}

impl Damage {
    /// Logs those of these records that are damaged and were not logged before.
    pub(crate) fn log_new(&self, log: &crate::log::Log, records: &[Record]) {
        for record in records.iter().filter(|record| record.is_damaged) {
            if self.is_first(record.offset) {
                tracing::error!(
                    server = %log.server.address,
                    stream = %log.keys.log,
                    record = %crate::reply::id(record.offset),
                    "an entry is not what was written; its readers get a gap over it"
                );
            }
        }
    }

    fn is_first(&self, offset: Offset) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MAX_LOGGED && logged.insert(offset)
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Damage").finish_non_exhaustive()
    }
}
