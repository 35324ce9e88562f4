//! The time of day as text, in UTC. Pure, except for [`now`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970, which the other functions take.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// `2026-11-22T11:37:00.123Z` (RFC 3339).
pub(crate) fn date_and_time(since_1970: Duration) -> String {
    let (year, month, day) = date(since_1970.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{}Z", time(since_1970))
}

/// `11:37:00.123`.
pub(crate) fn time(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let millis = since_1970.subsec_millis();
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

/// Year, month and day of a day since 1970, counted in years that begin in March: so the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    // From 1 March of year 0.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(date_and_time(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn milliseconds_are_cut_off() {
        assert_eq!(time(Duration::from_micros(3_661_001_999)), "01:01:01.001");
    }
}
