//! The README names every metric and every default.

use bellwether_sqlite::SqliteBroker;

const README: &str = include_str!("../../README.md");
const METRICS: &str = include_str!("../../src/observe.rs");

#[test]
fn every_metric_is_in_the_readme() {
    let mut names = 0;
    for quoted in METRICS.split('"').skip(1).step_by(2) {
        if let Some(name) = quoted.strip_prefix("bellwether_sqlite") {
            assert!(
                README.contains(&format!("{name}`")),
                "bellwether_sqlite{name}"
            );
            names += 1;
        }
    }
    assert_eq!(names, 17);
}

#[test]
fn every_default_is_in_the_readme() {
    let settings = format!("{:?}", SqliteBroker::builder("x"));
    for (field, row) in [
        ("max_records: 1000000,", "| `max_records` | 1000000 |"),
        ("max_bytes: 1073741824,", "| `max_bytes` | 1 GiB |"),
        ("max_age: Some(604800s)", "| `max_age` | 7 days |"),
        (
            "KeyWindow { duration: 600s, max_keys: 65536 }",
            "| `idempotency_window` | 10 min, 65536 keys |",
        ),
        (
            "max_queued_bytes: 67108864,",
            "| `max_queued_bytes` | 64 MiB |",
        ),
        ("timeout: 4s,", "| `timeout` | 4 s |"),
        ("readers: 4,", "| `readers` | 4 |"),
        ("open_check: 1s", "| `open_check` | 1 s |"),
    ] {
        assert!(settings.contains(field), "{field} in {settings}");
        assert!(README.contains(row), "{row}");
    }
}
