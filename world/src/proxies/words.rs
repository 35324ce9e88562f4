//! Measurements as words that are the same from run to run: a table of the docs is compared with them.

use std::time::Duration;

use super::reader::End;

/// No delay that a person would notice.
pub(super) const AT_ONCE: &str = "at once";

/// How late an event was, if it came.
pub(super) fn lag(lag: Option<Duration>) -> String {
    let Some(lag) = lag else {
        return "never".to_owned();
    };
    match lag.as_millis() {
        0..190 => AT_ONCE,
        190..500 => "0.2 s late",
        500..1_500 => "1 s late",
        1_500..2_500 => "2 s late",
        _ => "seconds late",
    }
    .to_owned()
}

/// When the first byte came of a stream; the start of a client and a busy machine take their part of it.
pub(super) fn first(after: Option<Duration>) -> String {
    match after {
        Some(after) if after < Duration::from_millis(1_500) => lag(Some(Duration::ZERO)),
        after => lag(after),
    }
}

/// How late each of several events was that were sent over at least two seconds.
pub(super) fn lags(lags: &[Duration], sent: usize) -> String {
    if lags.is_empty() {
        return "none came".to_owned();
    }
    if lags.len() < sent {
        return format!("{} of {sent}", lags.len());
    }
    let mut sorted = lags.to_vec();
    sorted.sort_unstable();
    // Those that waited for the last one are all late but for it.
    if lags[0] > Duration::from_millis(1_500) && lags[0] > lags[lags.len() - 1] * 3 {
        return "held to the end".to_owned();
    }
    lag(Some(sorted[sorted.len() / 2]))
}

/// When the server knew that a client had left, one second after it came; keep-alives are 15 s apart.
pub(super) fn leaver(after: Option<Duration>) -> String {
    let Some(after) = after else {
        return "later than 45 s".to_owned();
    };
    match after.as_secs() {
        0..3 => AT_ONCE,
        _ => "up to 45 s",
    }
    .to_owned()
}

/// What a client sees of a server that was killed.
pub(super) fn cut(end: End) -> String {
    match end {
        End::Clean => "looks finished",
        End::Error(_) => "an error",
        End::Open => "not seen",
    }
    .to_owned()
}

/// What happens to a stream without an end at a limit of three seconds.
pub(super) fn lifetime(end: End, after: Duration) -> String {
    match (end, after.as_millis()) {
        (End::Open, _) => "lives on".to_owned(),
        // Some proxies check their clocks only each second.
        (end, 1_500..=4_500) => format!("{} at the limit", cut(end)),
        (end, _) => format!("{} before or after the limit", cut(end)),
    }
}

/// The results over HTTP/1.1 and over HTTP/2, named only where they differ.
pub(super) fn both(http1: &str, http2: Option<&str>) -> String {
    match http2 {
        Some(http2) if http2 != http1 => format!("{http1}; HTTP/2: {http2}"),
        _ => http1.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn events_that_wait_for_the_last_one_are_held() {
        let held = [ms(2000), ms(1600), ms(1200), ms(800), ms(400), ms(2)];
        assert_eq!(lags(&held, 6), "held to the end");
        assert_eq!(lags(&held[..3], 6), "3 of 6");
        assert_eq!(lags(&[ms(1), ms(90), ms(2)], 3), "at once");
        assert_eq!(lags(&[ms(200); 6], 6), "0.2 s late");
        assert_eq!(lags(&[], 6), "none came");
    }

    #[test]
    fn protocols_are_named_where_they_differ() {
        assert_eq!(both("at once", Some("at once")), "at once");
        assert_eq!(both("at once", None), "at once");
        assert_eq!(
            both("an error", Some("looks finished")),
            "an error; HTTP/2: looks finished"
        );
    }

    #[test]
    fn a_leaver_is_told_in_classes() {
        assert_eq!(leaver(Some(ms(200))), "at once");
        assert_eq!(leaver(Some(ms(14_100))), "up to 45 s");
        assert_eq!(leaver(Some(ms(29_100))), "up to 45 s");
        assert_eq!(leaver(None), "later than 45 s");
    }
}
