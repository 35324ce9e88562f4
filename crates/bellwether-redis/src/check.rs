//! Whether a server can hold a log. Pure: it reads the reply to `INFO`.

use crate::error::ConnectError;

/// The fields of `INFO` that are checked at connect.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    version: Option<String>,
    is_replica: bool,
    max_memory: Option<u64>,
    policy: Option<String>,
}

impl Info {
    /// Reads the lines `name:value`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for (name, value) in text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
        {
            match name {
                "redis_version" => info.version = Some(value.to_owned()),
                "role" => info.is_replica = value == "slave",
                "maxmemory" => info.max_memory = value.parse().ok(),
                "maxmemory_policy" => info.policy = Some(value.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// Refuses a server that is too old, is a replica, or may remove keys when its memory is full.
    pub(crate) fn check(&self, address: &str, allows_eviction: bool) -> Result<(), ConnectError> {
        if let Some(version) = &self.version
            && major(version).is_some_and(|major| major < 7)
        {
            return Err(ConnectError::unsuitable(format!(
                "the Redis server at {address} has version {version}; 7.0 or newer, or Valkey, is needed"
            )));
        }
        if self.is_replica {
            return Err(ConnectError::unsuitable(format!(
                "the Redis server at {address} is a replica; connect to the primary"
            )));
        }
        match (allows_eviction, self.max_memory, self.policy.as_deref()) {
            (true, ..) | (_, Some(0), _) | (_, _, Some("noeviction")) => Ok(()),
            (_, _, Some(policy)) => Err(ConnectError::unsuitable(format!(
                "the Redis server at {address} removes keys when its memory is full (maxmemory-policy {policy}), the \
                 log among them; set maxmemory-policy to noeviction"
            ))),
            (_, _, None) => Err(ConnectError::unsuitable(format!(
                "the Redis server at {address} does not say what it does when its memory is full; make sure that its \
                 maxmemory-policy is noeviction and say so with allow_eviction"
            ))),
        }
    }
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Info;

    fn verdict(text: &str) -> Result<(), String> {
        let checked = Info::parse(text).check("here:1", false);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_that_keeps_its_keys_is_accepted() {
        assert_eq!(
            verdict("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"),
            Ok(())
        );
        assert_eq!(
            verdict("maxmemory:9\r\nmaxmemory_policy:noeviction\r\n"),
            Ok(())
        );
        assert_eq!(
            verdict("# Server\r\nredis_version:7.2.4\r\nrole:master\r\nmaxmemory:0\r\n"),
            Ok(())
        );
    }

    #[test]
    fn each_unsuitable_server_is_refused_with_the_reason() {
        for (text, why) in [
            (
                "redis_version:6.2.14\r\nmaxmemory:0\r\n",
                "has version 6.2.14; 7.0 or newer",
            ),
            (
                "role:slave\r\nmaxmemory:0\r\n",
                "is a replica; connect to the primary",
            ),
            (
                "maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n",
                "set maxmemory-policy to noeviction",
            ),
            ("", "say so with allow_eviction"),
        ] {
            let text = verdict(text).unwrap_err();
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn eviction_can_be_allowed() {
        let info = Info::parse("maxmemory:9\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert!(info.check("here:1", true).is_ok());
    }
}
