//! The README names every metric and every default, and the example works.

use bellwether_nats::NatsBroker;
use bellwether_testkit::{NatsServer, or_skip};
use serde_json::json;

use crate::support;

#[path = "../../examples/nats_log.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a program of its own, whose `main` is for the command line"
)]
mod nats_log;

const README: &str = include_str!("../../README.md");
const METRICS: &str = include_str!("../../src/observe.rs");

#[test]
fn every_metric_is_in_the_readme_and_no_other() {
    let quoted = METRICS.split('"').skip(1).step_by(2);
    let mut names: Vec<_> = quoted
        .filter(|text| text.starts_with("bellwether_"))
        .collect();
    let mut listed: Vec<_> = README
        .split('`')
        .filter(|text| text.starts_with("bellwether_nats_"))
        .collect();
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn the_defaults_of_the_readme_are_those_of_a_new_stream() {
    let Some(server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let broker = NatsBroker::connect(&server.url()).await.unwrap();
    let client = support::client(&server).await;
    let info = support::api(&client, "STREAM.INFO.bellwether", json!({})).await;
    let nanoseconds = |seconds: u64| json!(seconds * 1_000_000_000);
    for (setting, value, row) in [
        ("name", json!("bellwether"), "| `stream` | `bellwether` |"),
        (
            "subjects",
            json!(["bellwether.*"]),
            "| `subject_prefix` | the stream's name |",
        ),
        ("max_msgs", json!(1_000_000), "| `max_records` | 1000000 |"),
        ("max_bytes", json!(1_u64 << 30), "| `max_bytes` | 1 GiB |"),
        (
            "max_age",
            nanoseconds(7 * 24 * 3600),
            "| `max_age` | 7 days |",
        ),
        (
            "duplicate_window",
            nanoseconds(120),
            "| `idempotency_window` | 120 s |",
        ),
        ("num_replicas", json!(1), "| `replicas` | 1 |"),
    ] {
        assert_eq!(info["config"][setting], value, "{setting}");
        assert!(README.contains(row), "{row}");
    }
    let builder = format!("{:?}", NatsBroker::builder(&server.url()));
    assert!(
        builder.contains("timeout: 4s") && README.contains("| `timeout` | 4 s |"),
        "{builder}"
    );
    drop(broker);
}

/// A user that may do what the README lists, and nothing else.
#[tokio::test]
async fn the_permissions_of_the_readme_are_enough() {
    let config = r#"
        accounts { A {
            jetstream: enabled
            users: [ { user: u, password: p, permissions: {
                publish: [
                    "log.*", "$JS.API.STREAM.INFO.log", "$JS.API.STREAM.CREATE.log", "$JS.API.STREAM.MSG.GET.log",
                    "$JS.API.CONSUMER.CREATE.log", "$JS.API.CONSUMER.MSG.NEXT.log.*"
                ]
                subscribe: ["_INBOX.>"]
            } } ]
        } }
    "#;
    let Some(server) = or_skip(NatsServer::start(config).await) else {
        return;
    };
    let builder = NatsBroker::builder(&server.url())
        .stream("log")
        .user_and_password("u", "p");
    let broker = builder.connect().await.unwrap();
    let stored = support::fill(&broker, 0..30).await;
    assert_eq!(
        support::all_numbers(&broker).await,
        (0..30).collect::<Vec<_>>()
    );
    let topics: [std::sync::Arc<str>; 1] = ["t".into()];
    let request = bellwether_topics::broker::ReadRequest {
        from: stored[3].cursor.offset,
        topics: Some(&topics),
        max_records: 10,
        max_bytes: 1 << 20,
    };
    let page = bellwether_topics::broker::Broker::read(&broker, request)
        .await
        .unwrap();
    assert_eq!(page.records.len(), 10);
}

#[tokio::test]
async fn the_example_shows_two_nodes_on_one_log() {
    let Some(server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let lines = nats_log::run(&server.url()).await.unwrap();
    assert_eq!(lines.len(), 6);
    assert!(
        lines[0].starts_with("south published sun as 1."),
        "{lines:?}"
    );
    assert_eq!(
        lines[3..],
        [
            "a reader of north got data: sun",
            "a reader of south got data: rain",
            "a reader of south got data: snow"
        ]
    );
}
