//! The keys of a log. The braces keep them in one slot of a Redis Cluster, as scripts need it.

/// The longest name of a log, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// The keys that belong to one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The stream.
    pub(crate) log: String,
    /// The hash about the stream: epoch and ends.
    pub(crate) about: String,
    /// The hash of each topic's newest record.
    pub(crate) topics: String,
    once: String,
}

impl Keys {
    /// The keys of the log with this name; `None` if the name is empty, too long, or has braces, spaces or control
    /// characters.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let is_allowed = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '{' | '}');
        let is_good =
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_allowed);
        is_good.then(|| Self {
            log: format!("{{{name}}}:log"),
            about: format!("{{{name}}}:about"),
            topics: format!("{{{name}}}:topics"),
            once: format!("{{{name}}}:once:"),
        })
    }

    /// The key that holds the first record with this idempotency key. Topics have no control characters, so the line
    /// break cannot be part of one.
    pub(crate) fn once(&self, topic: &str, key: &str) -> String {
        format!("{}{topic}\n{key}", self.once)
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn the_keys_of_a_log_share_one_slot_of_a_cluster() {
        let keys = Keys::new("news").unwrap();
        assert_eq!(keys.log, "{news}:log");
        assert_eq!(keys.about, "{news}:about");
        assert_eq!(keys.topics, "{news}:topics");
        assert_eq!(keys.once("a", "b"), "{news}:once:a\nb");
    }

    #[test]
    fn a_name_that_would_break_the_slot_is_refused() {
        for name in ["", "a{b", "}", "a b", "a\n", &"n".repeat(129)] {
            assert_eq!(Keys::new(name), None, "{name:?}");
        }
    }
}
