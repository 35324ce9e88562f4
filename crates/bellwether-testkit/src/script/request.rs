//! [`SeenRequest`]: a request that a scripted server has received.

use bytes::Bytes;
use tokio::time::Instant;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// The method.
    pub method: String,
    /// The target of the request line, mostly path and query.
    pub target: String,
    /// Field names in lower case, and values as they came: an id may be no UTF-8.
    pub headers: Vec<(String, Bytes)>,
    /// The bytes of the head, with the empty line that ends it.
    pub head: Bytes,
    /// The body.
    pub body: Bytes,
    /// When its head was complete.
    pub at: Instant,
}

impl SeenRequest {
    /// The value of the only field of this name, as text; `None` when there is none.
    ///
    /// # Panics
    ///
    /// When the field came more than once, or is no UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(field, _)| field == name);
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "{name} came more than once");
        Some(std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name} is no UTF-8")))
    }

    /// Reads a head that ends with its empty line.
    ///
    /// # Panics
    ///
    /// When the bytes are no request head.
    pub(super) fn parse(head: Bytes) -> Self {
        let mut lines = head
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let request_line = String::from_utf8_lossy(lines.next().unwrap_or_default());
        let mut parts = request_line.split(' ').map(str::to_owned);
        let (Some(method), Some(target), Some(_)) = (parts.next(), parts.next(), parts.next())
        else {
            panic!("expected a request line, found {request_line:?}");
        };
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let colon = line.iter().position(|byte| *byte == b':');
                let colon = colon.unwrap_or_else(|| panic!("expected a field in {head:?}"));
                let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
                (name, Bytes::copy_from_slice(line[colon + 1..].trim_ascii()))
            })
            .collect();
        Self {
            method,
            target,
            headers,
            head,
            body: Bytes::new(),
            at: Instant::now(),
        }
    }
}
