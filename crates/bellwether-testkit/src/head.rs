//! The head of an HTTP/1 response, kept as text.

use bytes::Bytes;

/// Status, version and fields of a response, in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct Head {
    /// The version as sent: `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code, for instance `200`.
    pub status: u16,
    /// Field names as sent, with their values trimmed.
    pub headers: Vec<(String, String)>,
    /// The bytes of the head, with the empty line that ends it.
    pub raw: Bytes,
}

impl Head {
    /// The value of the only field of this name, in any case; `None` when there is none.
    ///
    /// # Panics
    ///
    /// When the field came more than once: a test that accepts this calls [`Head::all`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(
            all.len() < 2,
            "the field {name} came {} times: {self:?}",
            all.len()
        );
        all.first().copied()
    }

    /// Every value of the fields of this name, in any case and in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Reads a head from bytes that end with its empty line.
    ///
    /// # Panics
    ///
    /// When the bytes are no HTTP/1 response head.
    pub(crate) fn parse(raw: Bytes) -> Self {
        let text = std::str::from_utf8(&raw)
            .unwrap_or_else(|_| panic!("the head is not UTF-8: {}", raw.escape_ascii()));
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default().to_owned();
        let status = parts.next().and_then(|code| code.parse().ok());
        let (Some(status), true) = (status, version.starts_with("HTTP/1.")) else {
            panic!("expected an HTTP/1 status line, found {status_line:?}");
        };
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| match line.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
                None => panic!("expected a header field, found {line:?}"),
            })
            .collect();
        Self {
            version,
            status,
            headers,
            raw,
        }
    }
}
