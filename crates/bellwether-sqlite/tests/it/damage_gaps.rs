//! What readers get of a damaged log: what is whole, one gap over exactly the rest, and what follows.

use std::path::Path;
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::{Delivery, GapReason, ServerSentEvent, Subscription, Topics};

use crate::folder::Folder;

async fn node(path: &Path) -> Topics {
    let broker = SqliteBroker::open(path).unwrap();
    Topics::with(broker).await.unwrap()
}

async fn publish(topics: &Topics, topic: &str, numbers: std::ops::RangeInclusive<u64>) {
    let topic = topics.topic(topic).unwrap();
    for number in numbers {
        let event = ServerSentEvent::text(format!("event {number}."));
        topic.publish(&event).unwrap().await.unwrap();
    }
}

/// Changes these bytes, also in what the file no longer uses.
fn overwrite(path: &Path, found: &[u8], new: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let windows = bytes.windows(found.len()).enumerate();
    let places = windows.filter(|(_, window)| *window == found);
    let places: Vec<_> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..place + new.len()].copy_from_slice(new);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The numbers of events, and the gaps as what is lost.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Event(u64),
    Damaged(Option<u64>),
}

async fn got(reader: &mut Subscription, count: usize) -> Vec<Got> {
    let mut got = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(Duration::from_secs(5), reader.next()).await;
        got.push(match next.unwrap().unwrap() {
            Delivery::Event(frame) => {
                let text = String::from_utf8(frame.bytes().to_vec()).unwrap();
                let number = text.split_once("event ").unwrap().1;
                Got::Event(number.split_once('.').unwrap().0.parse().unwrap())
            }
            Delivery::Gap(gap) => {
                assert_eq!(gap.reason(), GapReason::Damaged);
                Got::Damaged(gap.lost())
            }
            other => panic!("{other:?}"),
        });
    }
    got
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Got> {
    numbers.map(Got::Event)
}

#[tokio::test]
async fn one_damaged_record_is_one_gap_and_nothing_else_is_lost() {
    for damaged in [1, 50, 100] {
        let folder = Folder::new();
        let topics = node(&folder.log()).await;
        publish(&topics, "t", 1..=100).await;
        topics.close().await.unwrap();
        let text = format!("event {damaged}.");
        overwrite(&folder.log(), text.as_bytes(), b"Event");

        let topics = node(&folder.log()).await;
        let topic = topics.topic("t").unwrap();
        let mut reader = topic.subscribe().from_start().open().unwrap();
        let got_first = got(&mut reader, 100).await;
        let expected = events(1..=damaged - 1)
            .chain([Got::Damaged(Some(1))])
            .chain(events(damaged + 1..=100));
        assert_eq!(got_first, expected.collect::<Vec<_>>(), "{damaged}");
        publish(&topics, "t", 101..=103).await;
        let after: Vec<_> = events(101..=103).collect();
        assert_eq!(got(&mut reader, 3).await, after);
        topics.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_whose_last_event_was_damaged_later_goes_on_behind_it() {
    let folder = Folder::new();
    let topics = node(&folder.log()).await;
    publish(&topics, "t", 1..=9).await;
    let id = topics.head().to_string();
    publish(&topics, "t", 10..=12).await;
    topics.close().await.unwrap();
    overwrite(&folder.log(), b"event 9.", b"Event");
    let topics = node(&folder.log()).await;
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().after(id.as_str()).open().unwrap();
    assert_eq!(
        got(&mut reader, 3).await,
        events(10..=12).collect::<Vec<_>>()
    );
    topics.close().await.unwrap();
}

/// Topic `t`, 100 records; what stands in the index over topics for number 50: header, name, number.
const ENTRY: &[u8] = b"\x03\x0f\x01t\x32";

#[tokio::test]
async fn a_wrong_index_entry_leaves_no_hole_and_doubles_nothing() {
    for (found, new) in [
        (ENTRY, &b"\x03\x0f\x01t\x33"[..]),
        (ENTRY, b"\x03\x0f\x01s"),
        (ENTRY, b"\x03\x0f\x01t\x7f"),
        // The newest record: no record comes after it that would show the damage.
        (b"\x03\x0f\x01t\x64", b"\x03\x0f\x01u"),
    ] {
        let folder = Folder::new();
        let topics = node(&folder.log()).await;
        publish(&topics, "t", 1..=100).await;
        topics.close().await.unwrap();
        overwrite(&folder.log(), found, new);

        let topics = node(&folder.log()).await;
        let topic = topics.topic("t").unwrap();
        let mut reader = topic.subscribe().from_start().open().unwrap();
        let all: Vec<_> = events(1..=100).collect();
        assert_eq!(got(&mut reader, 100).await, all, "{new:?}");
        publish(&topics, "t", 101..=101).await;
        assert_eq!(got(&mut reader, 1).await, [Got::Event(101)]);
        topics.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_record_whose_topic_is_damaged_is_a_gap_for_its_topics_reader() {
    let folder = Folder::new();
    let topics = node(&folder.log()).await;
    publish(&topics, "temperatures", 1..=20).await;
    publish(&topics, "prices", 1..=5).await;
    topics.close().await.unwrap();
    // In the table, not in the index, where the number follows at once.
    let mut bytes = std::fs::read(folder.log()).unwrap();
    let event = b"data: event 7.";
    for end in event.len() + 60..bytes.len() {
        if bytes[..end].ends_with(event) {
            let row = &mut bytes[end - event.len() - 60..end];
            let name = row
                .windows(12)
                .rposition(|window| window == b"temperatures");
            row[name.unwrap()] = b'T';
        }
    }
    std::fs::write(folder.log(), bytes).unwrap();
    let topics = node(&folder.log()).await;
    let open = |name| {
        let topic = topics.topic(name).unwrap();
        topic.subscribe().from_start().open().unwrap()
    };
    let expected = events(1..=6)
        .chain([Got::Damaged(Some(1))])
        .chain(events(8..=20));
    let mut reader = open("temperatures");
    assert_eq!(got(&mut reader, 20).await, expected.collect::<Vec<_>>());
    let mut other = open("prices");
    assert_eq!(got(&mut other, 5).await, events(1..=5).collect::<Vec<_>>());
    topics.close().await.unwrap();
}
