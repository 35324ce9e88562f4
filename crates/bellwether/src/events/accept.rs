//! Whether a request's `Accept` allows an event stream (RFC 9110, section 12.5.1).

use http::header::{ACCEPT, HeaderMap};

/// True without an `Accept` header, or when its most specific matching range has a weight above
/// zero. A header that cannot be read as text is treated as absent.
pub(super) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut best: Option<(u8, bool)> = None;
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        for range in value
            .split(',')
            .map(str::trim)
            .filter(|range| !range.is_empty())
        {
            any = true;
            let mut parts = range.split(';').map(str::trim);
            let specificity = match parts.next().unwrap_or_default() {
                "*/*" | "*" => 1,
                kind if kind.eq_ignore_ascii_case("text/*") => 2,
                kind if kind.eq_ignore_ascii_case("text/event-stream") => 3,
                _ => continue,
            };
            let allowed = !parts.any(is_zero_weight);
            // Of two equally specific ranges the more generous one holds.
            if best.is_none_or(|(s, a)| specificity > s || (specificity == s && allowed && !a)) {
                best = Some((specificity, allowed));
            }
        }
    }
    best.map_or(!any, |(_, allowed)| allowed)
}

/// `q=0`, `q=0.0`, … : explicitly not acceptable.
fn is_zero_weight(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, weight)| {
        name.trim().eq_ignore_ascii_case("q")
            && weight
                .trim()
                .parse::<f32>()
                .is_ok_and(|weight| weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn accept_decides_by_its_most_specific_range() {
        let cases: &[(&[&str], bool)] = &[
            (&[], true),
            (&[""], true),
            (&["text/event-stream"], true),
            (&["TEXT/Event-Stream"], true),
            (&["text/event-stream; charset=utf-8"], true),
            (&["*/*"], true),
            (&["text/*;q=0.1"], true),
            (&["application/json"], false),
            (&["application/json", "text/event-stream"], true),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], true),
            (&["text/event-stream;q=0"], false),
            (&["text/event-stream; Q=0.000, */*"], false),
            (&["text/*;q=0, */*"], false),
            (&["text/event-stream;q=0.5, text/*;q=0"], true),
            (&["garbage;;;=,,"], false),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_event_stream(&headers), *expected, "{values:?}");
        }
    }
}
