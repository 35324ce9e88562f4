//! The settings that a stream needs to hold a log: used to create it, and checked if it exists. Pure.
//!
//! Exact resume rests on one thing: records are removed only at the front, so that "this record exists" proves that all
//! later ones do. Every setting by which NATS would remove, reject or change other records is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::StreamConfig;

/// The settings of the builder. A setting that is not set has its default in a new stream, and is taken as it is in an
/// existing one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) stream: String,
    pub(crate) subject_prefix: String,
    pub(crate) max_records: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) idempotency_window: Option<Duration>,
    pub(crate) replicas: Option<usize>,
}

/// The maximum number of records of a new stream.
pub(crate) const MAX_RECORDS: u64 = 1_000_000;
/// The maximum size of a new stream in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 30;
/// The maximum age of records of a new stream.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a new stream remembers message ids.
pub(crate) const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(120);

impl Wanted {
    /// The subject of all records: one token behind the prefix.
    pub(crate) fn subject(&self) -> String {
        format!("{}.*", self.subject_prefix)
    }

    /// The request that creates the stream.
    pub(crate) fn create(&self) -> Value {
        let max_age = self.max_age.unwrap_or(MAX_AGE);
        let window = self.idempotency_window.unwrap_or(IDEMPOTENCY_WINDOW);
        // The server refuses a window longer than the maximum age.
        let window = match max_age.is_zero() {
            true => window,
            false => window.min(max_age),
        };
        json!({
            "name": self.stream,
            "subjects": [self.subject()],
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "max_msgs": limit(self.max_records.unwrap_or(MAX_RECORDS)),
            "max_bytes": limit(self.max_bytes.unwrap_or(MAX_BYTES)),
            "max_age": nanoseconds(max_age),
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "num_replicas": self.replicas.unwrap_or(1),
            "duplicate_window": nanoseconds(window),
            "deny_delete": true,
            "deny_purge": true,
            "allow_rollup_hdrs": false,
        })
    }

    /// The differences of an existing stream from the builder's settings, one sentence each.
    pub(crate) fn differences(&self, found: &StreamConfig) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |setting: &str, wanted: Option<u64>, found: u64| {
            if let Some(wanted) = wanted
                && wanted != found
            {
                all.push(format!(
                    "{setting} is {}, not {}",
                    or_none(found),
                    or_none(wanted)
                ));
            }
        };
        compare("max_msgs", self.max_records, known(found.max_msgs));
        compare("max_bytes", self.max_bytes, known(found.max_bytes));
        compare("max_age", self.max_age.map(nanoseconds), found.max_age);
        compare(
            "duplicate_window",
            self.idempotency_window.map(nanoseconds),
            found.duplicate_window,
        );
        let replicas = self.replicas.map(|replicas| replicas as u64);
        compare("num_replicas", replicas, found.num_replicas as u64);
        all
    }
}

fn or_none(number: u64) -> String {
    match number {
        0 => "unlimited".to_owned(),
        number => number.to_string(),
    }
}

/// Zero for no limit, as in the builder.
fn known(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(0)
}

fn limit(number: u64) -> i64 {
    match number {
        0 => -1,
        number => i64::try_from(number).unwrap_or(i64::MAX),
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Why this stream cannot hold a log, one sentence for each reason.
pub(crate) fn faults(found: &StreamConfig, subject: &str, max_payload: usize) -> Vec<&'static str> {
    let checks = [
        (
            found.subjects.len() == 1 && found.subjects[0] == subject,
            "its subject must be the prefix and `.*`, and no other",
        ),
        (found.retention == "limits", "retention must be limits"),
        (found.discard == "old", "discard must be old"),
        (
            found.storage == "file",
            "storage must be file: in memory, a restart gives the same numbers out again",
        ),
        (
            found.deny_delete,
            "deny_delete must be on: records may be removed only at the front",
        ),
        (
            found.deny_purge && !found.allow_rollup_hdrs,
            "deny_purge must be on and allow_rollup_hdrs off: records may be removed only at the front",
        ),
        (
            found.max_msgs_per_subject <= 0,
            "max_msgs_per_subject must be unlimited: it removes records in the middle",
        ),
        (
            !found.allow_msg_ttl && !found.allow_msg_counter && !found.allow_msg_schedules,
            "allow_msg_ttl, allow_msg_counter and allow_msg_schedules must be off: they remove or change records",
        ),
        (
            !found.no_ack && found.persist_mode.as_deref().unwrap_or("default") == "default",
            "no_ack and an asynchronous persist_mode confirm what is not stored",
        ),
        (!found.sealed, "it is sealed"),
        (
            found.mirror.is_none()
                && found.sources.as_ref().is_none_or(Vec::is_empty)
                && found.subject_transform.is_none(),
            "it must not have a mirror, sources or a subject_transform: their messages are no records",
        ),
        (
            // The newest record stays only if it fits twice, with its headers.
            found.max_bytes <= 0
                || u64::try_from(found.max_bytes)
                    .is_ok_and(|max_bytes| max_bytes >= 2 * max_payload as u64),
            "max_bytes must be at least twice the server's max_payload, so that the newest record always stays",
        ),
    ];
    let failed = checks.into_iter().filter(|(is_met, _)| !is_met);
    failed.map(|(_, fault)| fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            stream: "s".to_owned(),
            subject_prefix: "p".to_owned(),
            ..Wanted::default()
        }
    }

    fn faults_with(change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
        let mut config = wanted().create();
        change(&mut config);
        let config: StreamConfig = serde_json::from_value(config).unwrap();
        faults(&config, "p.*", 1 << 20)
    }

    #[test]
    fn what_is_created_is_accepted() {
        assert_eq!(faults_with(|_| {}), [""; 0]);
    }

    #[test]
    fn each_setting_that_breaks_exact_resume_is_refused() {
        for (setting, value) in [
            ("subjects", json!(["p.*", "q"])),
            ("subjects", json!(["p.>"])),
            ("retention", json!("workqueue")),
            ("discard", json!("new")),
            ("storage", json!("memory")),
            ("deny_delete", json!(false)),
            ("deny_purge", json!(false)),
            ("allow_rollup_hdrs", json!(true)),
            ("max_msgs_per_subject", json!(1)),
            ("allow_msg_ttl", json!(true)),
            ("allow_msg_counter", json!(true)),
            ("allow_msg_schedules", json!(true)),
            ("no_ack", json!(true)),
            ("persist_mode", json!("async")),
            ("sealed", json!(true)),
            ("mirror", json!({"name": "x"})),
            ("sources", json!([{"name": "x"}])),
            ("subject_transform", json!({"src": ">", "dest": "x"})),
            ("max_bytes", json!(2_000_000)),
        ] {
            let found = faults_with(|config| config[setting] = value.clone());
            assert_eq!(found.len(), 1, "{setting} = {value}: {found:?}");
        }
    }

    #[test]
    fn only_settings_that_were_set_are_compared() {
        let config: StreamConfig = serde_json::from_value(wanted().create()).unwrap();
        assert_eq!(wanted().differences(&config), [""; 0]);
        let other = Wanted {
            max_records: Some(5),
            max_bytes: Some(0),
            max_age: Some(Duration::from_secs(1)),
            idempotency_window: Some(IDEMPOTENCY_WINDOW),
            replicas: Some(3),
            ..wanted()
        };
        let found = other.differences(&config);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], "max_msgs is 1000000, not 5");
    }

    #[test]
    fn the_window_is_never_longer_than_the_maximum_age() {
        let short = Wanted {
            max_age: Some(Duration::from_secs(10)),
            ..wanted()
        };
        assert_eq!(short.create()["duplicate_window"], 10_000_000_000_u64);
    }
}
