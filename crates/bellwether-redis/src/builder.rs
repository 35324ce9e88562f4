//! [`RedisBuilder`]: the settings of a log in Redis, and how it is opened.

use std::time::Duration;

use crate::broker::RedisBroker;
use crate::error::ConnectError;

/// The settings of a [`RedisBroker`]. Each has a default; see the README for what to set on the server.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use bellwether_redis::RedisBroker;
///
/// // A name becomes part of keys, so braces are refused before anything is sent.
/// let builder = RedisBroker::builder("redis://127.0.0.1:1").name("{orders}");
/// assert!(builder.connect().await.unwrap_err().is_invalid());
/// # });
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct RedisBuilder {
    pub(crate) url: String,
    pub(crate) settings: Settings,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    /// Zero for no bound.
    pub(crate) max_records: u64,
    pub(crate) max_age: Option<Duration>,
    pub(crate) is_exact: bool,
    pub(crate) idempotency_window: Duration,
    pub(crate) timeout: Duration,
    pub(crate) allows_eviction: bool,
}

impl RedisBuilder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            settings: Settings {
                name: "bellwether".to_owned(),
                max_records: 100_000,
                max_age: None,
                is_exact: false,
                idempotency_window: Duration::from_secs(120),
                timeout: Duration::from_secs(3),
                allows_eviction: false,
            },
        }
    }

    /// Name of the log, at most 128 bytes without braces, spaces and control characters. Default: `bellwether`.
    ///
    /// The log's keys are made of it: `{name}:log`, `{name}:about`, `{name}:topics` and `{name}:once:…`. All nodes with
    /// the same name on the same server and database share one log.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Number of records that the log keeps at least. Default: 100,000, which take about 50 MB with events of 300
    /// bytes.
    ///
    /// With each batch the server removes older records, in runs of about a hundred. With too few, readers that come
    /// back late get a gap (`trimmed`). Zero keeps all records until the server's memory is full; it then refuses
    /// appends.
    ///
    /// All nodes should have the same number, since each trims by its own.
    pub fn max_records(mut self, records: u64) -> Self {
        self.settings.max_records = records;
        self
    }

    /// Maximum age of a record, by the server's clock. Default: no bound.
    ///
    /// Older records are removed when a record is appended, so a log without appends keeps them longer. The newest
    /// record always stays. Readers that come back later than this get a gap (`trimmed`).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = Some(age);
        self
    }

    /// Exact trimming to the bounds, instead of runs of about a hundred records. Default: off. It costs the server more
    /// work with each batch.
    pub fn exact_trimming(mut self) -> Self {
        self.settings.is_exact = true;
        self
    }

    /// Time for which an idempotency key is remembered, counted from its first record; at least 1 ms. Default: 120 s.
    ///
    /// Each key takes about 150 bytes of the server's memory for this time. A window shorter than a publisher's
    /// retries, an outage included, stores an event twice.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.settings.idempotency_window = window;
        self
    }

    /// Maximum time of a call, the connect included, before it fails as unavailable and its connection is closed.
    /// Default: 3 s.
    ///
    /// A node gives up on any call after 5 s, so a larger value has no use. Too small a value makes calls fail while
    /// the server syncs or loads, and each failure costs a new connection.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Permission to use a server that removes keys when its memory is full, or does not report its policy. Default:
    /// such a server is refused.
    ///
    /// If the server removes the log, readers get a gap (`epoch`). If it removes only idempotency keys, a repeated
    /// publish becomes a second record.
    pub fn allow_eviction(mut self) -> Self {
        self.settings.allows_eviction = true;
        self
    }

    /// Connects, checks the server and opens the log, or makes it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: [`is_invalid`](ConnectError::is_invalid) for a wrong URL or name;
    /// [`is_unavailable`](ConnectError::is_unavailable) if the server cannot be reached or does not answer within the
    /// timeout; neither for a server that cannot hold a log: a replica, one that evicts keys, one older than 7.0, one
    /// that refuses the user or has something else under the log's keys. A server that still loads its data is no
    /// error: the call waits until it has.
    pub async fn connect(self) -> Result<RedisBroker, ConnectError> {
        RedisBroker::open(&self.url, self.settings).await
    }
}

/// Leaves out the URL, which may contain a password.
impl std::fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::RedisBuilder;

    #[test]
    fn the_readme_has_the_defaults() {
        let settings = RedisBuilder::new("redis://h").settings;
        let on_off = |is_on| match is_on {
            true => "on".to_owned(),
            false => "off".to_owned(),
        };
        let readme = include_str!("../README.md");
        for (name, value) in [
            ("name", format!("`{}`", settings.name)),
            ("max_records", settings.max_records.to_string()),
            (
                "max_age",
                settings
                    .max_age
                    .map_or("none".to_owned(), |age| format!("{age:?}")),
            ),
            ("exact_trimming", on_off(settings.is_exact)),
            (
                "idempotency_window",
                format!("{} s", settings.idempotency_window.as_secs()),
            ),
            ("timeout", format!("{} s", settings.timeout.as_secs())),
            ("allow_eviction", on_off(settings.allows_eviction)),
        ] {
            let row = format!("| `{name}` | {value} |");
            assert!(readme.contains(&row), "no row {row}");
        }
    }
}
