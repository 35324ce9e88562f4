//! `check` and `repair` as commands, on a file that was damaged, and what readers of the mended log get.

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::RawClient;
use bellwether_topics::{ServerSentEvent, Topics};

use crate::support::{command, run};

/// A log of 100 events with text of their own, closed; its file, and the ids.
async fn log(name: &str) -> (std::path::PathBuf, Vec<String>) {
    let folder = std::env::temp_dir().join(format!("bellwether-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("events.db");
    let topics = Topics::with(SqliteBroker::open(&file).unwrap())
        .await
        .unwrap();
    let topic = topics.topic("t").unwrap();
    let mut ids = Vec::new();
    for number in 0..100 {
        let event = ServerSentEvent::text(format!("event {number}."));
        ids.push(topic.publish(&event).unwrap().await.unwrap().to_string());
    }
    topics.close().await.unwrap();
    (file, ids)
}

/// Flips a bit of the event with this number, wherever it stands.
fn damage(file: &std::path::Path, number: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    let text = format!("data: event {number}.\n").into_bytes();
    let places: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter_map(|(place, window)| (window == text).then_some(place))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(file, bytes).unwrap();
}

/// What a reader of the hub gets after an id: data, and the gaps with their data.
async fn read(hub: &bellwether_testkit::Program, after: &str, count: usize) -> Vec<String> {
    let mut client = RawClient::connect(hub.addr()).await;
    client
        .get("/events?topic=t", &[("last-event-id", after)])
        .await;
    client.read_head().await;
    let mut got = Vec::new();
    for _ in 0..count {
        let event = client.next_event().await.unwrap();
        got.push(match event.event.as_str() {
            "bellwether.gap" => format!("gap {}", event.data),
            _ => event.data,
        });
    }
    got
}

async fn hub(file: &std::path::Path) -> bellwether_testkit::Program {
    let broker = format!("sqlite:{}", file.display());
    let hub = command(&["serve", "--bind", "127.0.0.1:0", "--broker", &broker]);
    bellwether_testkit::Program::start_command(hub).await
}

fn expected(lost: usize) -> Vec<String> {
    (1..100)
        .map(|number| match number == lost {
            true => "gap".to_owned(),
            false => format!("event {number}."),
        })
        .collect()
}

fn assert_all_but(got: &[String], lost: usize) {
    for (got, expected) in got.iter().zip(expected(lost)) {
        match expected.as_str() {
            "gap" => assert!(
                got.starts_with("gap") && got.contains("\"damaged\"") && got.contains("\"lost\":1"),
                "{got}"
            ),
            expected => assert_eq!(got, expected),
        }
    }
}

#[tokio::test]
async fn a_damaged_record_is_told_by_the_server_and_mended_by_repair() {
    for lost in [50, 99] {
        let (file, ids) = log(&format!("repair-{lost}")).await;
        let path = file.to_str().unwrap();
        let done = run(&["check", path], b"").await;
        assert_eq!(
            (
                done.code,
                done.text().contains("100 events in 1 topic: sound")
            ),
            (Some(0), true),
            "{}",
            done.text()
        );

        damage(&file, lost as u64);
        // The server starts, also if the newest record is damaged, and tells exactly what is lost.
        let mut serving = hub(&file).await;
        assert_all_but(&read(&serving, &ids[0], 99).await, lost);
        let done = run(&["repair", path], b"").await;
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert!(done.err.contains("has it open"), "{}", done.err);
        let done = run(&["check", path], b"").await;
        assert_eq!(done.code, Some(1), "{}", done.err);
        let record = format!("record {} of topic", lost + 1);
        assert!(
            done.text().contains(&record) && done.text().contains("bellwether repair"),
            "{}",
            done.text()
        );
        serving.terminate().await;
        serving.wait_exit(std::time::Duration::from_secs(30)).await;

        let done = run(&["repair", path], b"").await;
        assert_eq!(done.code, Some(0), "{}", done.err);
        assert!(
            done.text().contains("99 events kept, 1 lost"),
            "{}",
            done.text()
        );
        let done = run(&["repair", path], b"").await;
        assert!(done.text().contains("nothing to do"), "{}", done.text());
        assert_eq!(run(&["check", path], b"").await.code, Some(0));
        let mut serving = hub(&file).await;
        assert_all_but(&read(&serving, &ids[0], 99).await, lost);
        serving.terminate().await;
        serving.wait_exit(std::time::Duration::from_secs(30)).await;
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn what_is_no_log_is_wrong_usage() {
    for command in ["check", "repair"] {
        let done = run(&[command, "/no/such/file.db"], b"").await;
        assert_eq!(done.code, Some(2), "{}", done.err);
        assert!(done.err.contains("no such file"), "{}", done.err);
        let done = run(&[command, "/etc/hostname"], b"").await;
        assert_eq!(done.code, Some(2), "{}", done.err);
    }
}
