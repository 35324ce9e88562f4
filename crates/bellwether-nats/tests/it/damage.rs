//! Messages that the server has lost, or that cannot be read: one gap over exactly them.

use std::fs;
use std::path::{Path, PathBuf};

use bellwether_nats::NatsBroker;
use bellwether_testkit::{NatsServer, TEST_TIMEOUT, log_lines, within};
use bellwether_topics::{Delivery, GapReason, ServerSentEvent, Subscription, Topics};

use crate::support;

async fn node(server: &NatsServer, stream: &str) -> Topics {
    let builder = NatsBroker::builder(&server.url()).stream(stream);
    Topics::with(builder.connect().await.unwrap())
        .await
        .unwrap()
}

/// Publishes events that are their number: the odd ones to `u`, the even ones to `t`. Returns their ids.
async fn publish(topics: &Topics, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        let topic = topics
            .topic(if number % 2 == 0 { "t" } else { "u" })
            .unwrap();
        let event = ServerSentEvent::text(format!("event {number}."));
        ids.push(topic.publish(&event).unwrap().await.unwrap().to_string());
    }
    ids
}

/// The numbers of events, and a zero for a gap over one damaged record.
async fn got(reader: &mut Subscription, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    while got.len() < count {
        let next = within(TEST_TIMEOUT, reader.next()).await;
        match next.expect("something comes").unwrap() {
            Delivery::Gap(gap) => {
                assert_eq!((gap.reason(), gap.lost()), (GapReason::Damaged, Some(1)));
                got.push(0);
            }
            delivery => {
                let frame = delivery.into_frame().unwrap();
                let text = String::from_utf8(frame.bytes().to_vec()).unwrap();
                let number = text.split_once("event ").unwrap().1;
                got.push(number.split_once('.').unwrap().0.parse().unwrap());
            }
        }
    }
    got
}

/// The files of messages below a folder.
fn blocks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(blocks(&path));
        } else if path.extension().is_some_and(|end| end == "blk") {
            found.push(path);
        }
    }
    found
}

/// Changes a byte of what the server has on its disk.
fn change(server: &NatsServer, text: &[u8]) {
    let mut changed = 0;
    for path in blocks(server.folder()) {
        let mut bytes = fs::read(&path).unwrap();
        let offset = bytes.windows(text.len()).position(|window| window == text);
        if let Some(offset) = offset {
            bytes[offset] ^= 0x20;
            fs::write(path, bytes).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
}

#[tokio::test]
async fn a_message_that_the_server_has_lost_is_a_gap_and_never_a_hole() {
    log_lines::collect();
    let Some((mut server, broker)) = support::start().await else {
        return;
    };
    let stream = broker.stream().to_owned();
    let topics = Topics::with(broker).await.unwrap();
    let ids = publish(&topics, 1..=20).await;
    topics.close().await.unwrap();
    server.stop().await;
    change(&server, b"event 10.");
    server.start_again().await;

    let topics = node(&server, &stream).await;
    let open = |topic: &str, id: &str| {
        let topic = topics.topic(topic).unwrap();
        topic.subscribe().after(id).open().unwrap()
    };
    // A reader near the end comes first, and needs nothing of what is before it.
    let mut reader = open("t", &ids[15]);
    assert_eq!(got(&mut reader, 2).await, [18, 20]);
    for _ in 0..2 {
        let mut reader = open("t", &ids[1]);
        let expected = [4, 6, 8, 0, 12, 14, 16, 18, 20];
        assert_eq!(got(&mut reader, 9).await, expected);
        // The topic of the lost message is not known.
        let mut other = open("u", &ids[6]);
        assert_eq!(got(&mut other, 7).await, [9, 0, 11, 13, 15, 17, 19]);
    }
    // A reader that has seen it before the loss gets a gap, since its position cannot be proved, and then what is left.
    let mut back = open("t", &ids[9]);
    let next = within(TEST_TIMEOUT, back.next()).await;
    assert!(next.expect("something comes").unwrap().gap().is_some());
    publish(&topics, 22..=22).await;
    let mut reader = open("t", &ids[17]);
    assert_eq!(got(&mut reader, 2).await, [20, 22]);
    // Names of streams are counted from the start in each process, and no other test loses a message.
    let logged = log_lines::with(&["lost messages", &stream]);
    assert_eq!(logged.len(), 1, "once, and not for each reader: {logged:?}");
    assert!(logged[0].contains("first=10 last=10"), "{logged:?}");
    topics.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_gap_for_its_own_readers() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let stream = broker.stream().to_owned();
    let topics = Topics::with(broker).await.unwrap();
    let ids = publish(&topics, 1..=4).await;
    // As a bridge or a mirror does that damages headers.
    let client = support::client(&server).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Bellwether-Tag", "no number");
    let subject = format!("{stream}.t");
    client
        .publish_with_headers(subject, headers, "data: 5\n\n".into())
        .await
        .unwrap();
    client.flush().await.unwrap();
    let mut live = topics
        .topic("t")
        .unwrap()
        .subscribe()
        .after(ids[1].as_str())
        .open()
        .unwrap();
    assert_eq!(got(&mut live, 2).await, [4, 0]);
    publish(&topics, 6..=7).await;
    assert_eq!(got(&mut live, 1).await, [6]);
    topics.close().await.unwrap();

    let topics = node(&server, &stream).await;
    let mut reader = topics
        .topic("t")
        .unwrap()
        .subscribe()
        .after(ids[1].as_str())
        .open()
        .unwrap();
    assert_eq!(got(&mut reader, 3).await, [4, 0, 6]);
    let mut reader = topics
        .topic("u")
        .unwrap()
        .subscribe()
        .after(ids[0].as_str())
        .open()
        .unwrap();
    assert_eq!(got(&mut reader, 2).await, [3, 7]);
    topics.close().await.unwrap();
}
