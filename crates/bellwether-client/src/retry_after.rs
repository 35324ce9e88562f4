//! `Retry-After`: how long a refused request is to wait (RFC 9110, section 10.2.3).

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// A server that names more is taken for this: a slip of the pen should not stop a client for good.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that the head of a response asks for; `None` if it asks for none that can be understood.
///
/// A date is compared with the `Date` of the same response, so that neither a clock is needed here nor a wrong one
/// does harm; without that field a date is ignored.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is more than the maximum.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(at.duration_since(now).unwrap_or_default().min(MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wait(value: &'static str, date: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood_and_anything_else_is_ignored() {
        let noon = Some("Fri, 02 Jan 2026 12:00:00 GMT");
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait(" 0 ", None), Some(0));
        assert_eq!(wait("Fri, 02 Jan 2026 12:01:30 GMT", noon), Some(90));
        assert_eq!(wait("Fri, 02 Jan 2026 11:00:00 GMT", noon), Some(0));
        assert_eq!(wait("Fri, 02 Jan 2026 12:01:30 GMT", None), None);
        assert_eq!(wait("99999999999999999999999", None), Some(MAX.as_secs()));
        for nothing in ["", "-1", "1.5", "+5", "soon"] {
            assert_eq!(wait(nothing, noon), None, "{nothing}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
