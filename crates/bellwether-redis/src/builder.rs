//! [`RedisBuilder`]: the settings of a log in Redis, and how it is opened.

use std::time::Duration;

use crate::broker::RedisBroker;
use crate::error::ConnectError;

/// The settings of a [`RedisBroker`]. Each has a default; see the README for what to set on the server.
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

    /// The log's name, of which its keys are made: `{name}:log`, `{name}:about` and `{name}:once:…`. All nodes with the
    /// same name on the same server and database share one log. At most 128 bytes, without braces, spaces and control
    /// characters. Default: `bellwether`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// How many records the log keeps at least; with each batch the server removes older ones, a run of about a hundred
    /// at a time. Zero keeps all that fit into the server's memory, which then fills up and refuses appends. Default:
    /// 100,000, about 50 MB with events of 300 bytes.
    ///
    /// All nodes should set the same, since each trims by its own.
    pub fn max_records(mut self, records: u64) -> Self {
        self.settings.max_records = records;
        self
    }

    /// Removes records older than this, by the server's clock, when something is appended; the newest record always
    /// stays. Default: no bound.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = Some(age);
        self
    }

    /// Trims to exactly the bounds, which costs the server more with each batch. Default: off.
    pub fn exact_trimming(mut self) -> Self {
        self.settings.is_exact = true;
        self
    }

    /// For how long an idempotency key is known, counted from its first record; at least a millisecond. Each key takes
    /// about 150 bytes of the server's memory for so long. Default: 120 s.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.settings.idempotency_window = window;
        self
    }

    /// How long a call may take, the connect included, before it fails as unavailable and its connection is given up.
    /// Keep it under 5 s, after which the layer above gives up by itself. Default: 3 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Accepts a server that removes keys when its memory is full, or does not say what it does then. If the log is
    /// removed, its readers are told of a gap; if only idempotency keys are, a repeated publish becomes a second record.
    /// Default: such a server is refused.
    pub fn allow_eviction(mut self) -> Self {
        self.settings.allows_eviction = true;
        self
    }

    /// Connects, checks the server and opens the log, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: [`is_invalid`](ConnectError::is_invalid) for a wrong URL or name;
    /// [`is_unavailable`](ConnectError::is_unavailable) if the server is not there or does not answer within the timeout; a
    /// server that says that it still loads its data is waited for, however long that takes; neither for a server that a log cannot live on: a replica, one that evicts keys, one older
    /// than 7.0, one that refuses the user or has something else under the log's keys.
    pub async fn connect(self) -> Result<RedisBroker, ConnectError> {
        RedisBroker::open(&self.url, self.settings).await
    }
}

/// Leaves the URL out, which may hold a password.
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
    fn the_readme_tells_the_defaults() {
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
