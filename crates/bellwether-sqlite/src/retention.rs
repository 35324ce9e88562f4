//! How far the front of the log may be removed. Pure.

use std::time::Duration;

/// The smallest number of records that a step of removal may remove.
const STEP: u64 = 512;

/// The bounds of the log; whichever is reached first removes the oldest records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) max_records: u64,
    pub(crate) max_bytes: u64,
    pub(crate) max_age: Option<Duration>,
}

/// The log as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Every record up to here is gone.
    pub(crate) floor: u64,
    /// The last record.
    pub(crate) head: u64,
    /// The bytes of the records in between, as `record::size` counts.
    pub(crate) bytes: u64,
    /// When the first of them was appended, in milliseconds since 1970; zero if there is none.
    pub(crate) first_at: u64,
    /// When the last of them was appended. Never falls, whatever the clock does.
    pub(crate) last_at: u64,
}

/// A record at the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) at: u64,
}

impl Extent {
    pub(crate) fn records(&self) -> u64 {
        self.head - self.floor
    }

    /// The time that ages are measured from: `now`, unless the clock went back.
    pub(crate) fn time(&self, now: u64) -> u64 {
        now.max(self.last_at)
    }
}

impl Retention {
    /// Whether any record is to be removed.
    pub(crate) fn is_exceeded(&self, extent: &Extent, now: u64) -> bool {
        // The newest record stays: it is the anchor that proves a reader's position.
        extent.records() > 1
            && (extent.records() > self.max_records
                || extent.bytes > self.max_bytes
                || self.is_old(extent.first_at, extent.time(now)))
    }

    /// Whether removal pays while appends wait: larger steps touch each page of the index only once.
    pub(crate) fn is_due(&self, extent: &Extent, now: u64) -> bool {
        let slack = (self.max_records / 16).min(STEP);
        let loose = Self {
            max_records: self.max_records.saturating_add(slack),
            max_bytes: self.max_bytes.saturating_add(self.max_bytes / 16),
            max_age: self.max_age.map(|age| age.saturating_add(age / 64)),
        };
        loose.is_exceeded(extent, now)
    }

    /// The number of records that a step may remove beside a batch of this size: more than the batch adds, so that the
    /// log shrinks.
    pub(crate) fn step(batch: u64) -> u64 {
        STEP.max(batch * 2)
    }

    /// Whether the first record is to be removed, given that `extent` is what is left with it.
    pub(crate) fn removes(&self, front: &Front, extent: &Extent, now: u64) -> bool {
        let extent = Extent {
            first_at: front.at,
            ..*extent
        };
        front.offset < extent.head && self.is_exceeded(&extent, now)
    }

    fn is_old(&self, at: u64, time: u64) -> bool {
        self.max_age
            .is_some_and(|age| u128::from(time.saturating_sub(at)) > age.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Retention = Retention {
        max_records: u64::MAX,
        max_bytes: u64::MAX,
        max_age: None,
    };

    fn extent(records: u64) -> Extent {
        Extent {
            floor: 10,
            head: 10 + records,
            bytes: records * 100,
            first_at: 1000,
            last_at: 5000,
        }
    }

    #[test]
    fn each_bound_is_exceeded_by_one_more() {
        let count = Retention {
            max_records: 5,
            ..ALL
        };
        assert!(!count.is_exceeded(&extent(5), 0) && count.is_exceeded(&extent(6), 0));
        let bytes = Retention {
            max_bytes: 500,
            ..ALL
        };
        assert!(!bytes.is_exceeded(&extent(5), 0) && bytes.is_exceeded(&extent(6), 0));
        let age = Retention {
            max_age: Some(Duration::from_secs(6)),
            ..ALL
        };
        assert!(!age.is_exceeded(&extent(5), 7000) && age.is_exceeded(&extent(5), 7001));
    }

    #[test]
    fn the_newest_record_is_never_removed() {
        let nothing = Retention {
            max_records: 0,
            max_bytes: 0,
            max_age: Some(Duration::ZERO),
        };
        assert!(!nothing.is_exceeded(&extent(1), u64::MAX));
        let newest = Front {
            offset: 12,
            bytes: 100,
            at: 0,
        };
        assert!(!nothing.removes(&newest, &extent(2), u64::MAX));
    }

    #[test]
    fn a_clock_that_goes_back_removes_nothing_early_and_keeps_nothing_for_good() {
        let age = Retention {
            max_age: Some(Duration::from_secs(3)),
            ..ALL
        };
        let mut log = extent(5);
        (log.first_at, log.last_at) = (4000, 5000);
        assert!(!age.is_exceeded(&log, 0), "an hour back, say");
        assert!(!age.is_exceeded(&log, 7000));
        assert!(age.is_exceeded(&log, 7001));
    }
}
