//! The head of a response that a driver of this crate sends: the bytes that hyper would write for it.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::response::Parts;
use http::{HeaderValue, header};

/// Appends the head of a response on HTTP/1.1 whose body is sent in chunks (RFC 9112, sections 4 to 7).
///
/// `closes` says in the head that the connection takes no further request.
pub(crate) fn write_head(parts: &Parts, closes: bool, cached_date: &CachedDate, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    let reason = parts.status.canonical_reason().unwrap_or("<none>");
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        // Ours stands below.
        if !(closes && name == header::CONNECTION) {
            write_field(name.as_str(), value.as_bytes(), out);
        }
    }
    write_field("transfer-encoding", b"chunked", out);
    if closes {
        write_field("connection", b"close", out);
    }
    if !parts.headers.contains_key(header::DATE) {
        write_field("date", cached_date.date().as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The date of responses, written once a second.
#[derive(Debug, Default)]
pub(crate) struct CachedDate {
    /// The last second that was written, and its text. Held for a load or a store.
    last: Mutex<Option<(u64, HeaderValue)>>,
}

impl CachedDate {
    fn date(&self) -> HeaderValue {
        let now = SystemTime::now();
        let second = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, text)) = &*last
            && *of == second
        {
            return text.clone();
        }
        let text = HeaderValue::from_str(&httpdate::fmt_http_date(now))
            .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
        *last = Some((second, text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};

    use super::*;

    fn head(response: Response<()>, closes: bool) -> String {
        let mut out = Vec::new();
        write_head(
            &response.into_parts().0,
            closes,
            &CachedDate::default(),
            &mut out,
        );
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_head_has_the_headers_of_the_response_and_its_framing() {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert("x-feed", HeaderValue::from_static("demo"));
        headers.insert(header::DATE, HeaderValue::from_static("today"));
        assert_eq!(
            head(response, false),
            "HTTP/1.1 200 OK\r\nx-feed: demo\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_connection_that_closes_says_so_once() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let head = head(response, true);
        assert!(head.starts_with(
            "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\nconnection: close\r\ndate: "
        ));
    }
}
