//! Each bit of one record's row, flipped in a file of its own: never another event, and never a hole without a gap.

use std::fs;
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::within;
use bellwether_topics::{Delivery, ServerSentEvent, Topics};

use super::files::{Folder, Got, got, node, publish, whole_log};
use crate::support::run;

/// What stands before an event in its row: sizes, types, topic, tag, time, checksum.
const BEFORE: usize = 40;
/// What stands after it: the record before, and its tag.
const AFTER: usize = 8;

const COUNT: u64 = 12;
const NUMBER: u64 = 6;

/// What readers of a file get, up to an event that is published now; `None` if it is refused.
async fn readable(folder: &Folder) -> Option<Vec<Got>> {
    let broker = match SqliteBroker::open(folder.log()) {
        Ok(broker) => broker,
        Err(error) => {
            assert!(error.is_damaged() || error.is_not_ours(), "{error}");
            return None;
        }
    };
    let topics = Topics::with(broker).await.unwrap();
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().from_start().open().unwrap();
    let event = ServerSentEvent::text("event 999.");
    topic.publish(&event).unwrap().await.unwrap();
    let mut all = Vec::new();
    while all.last() != Some(&Got::Event(999)) {
        let delivery = within(Duration::from_secs(10), reader.next()).await;
        match delivery.expect("the end comes").unwrap() {
            Delivery::Gap(gap) => all.push(Got::Damaged(gap.lost())),
            delivery => {
                let frame = delivery.into_frame().unwrap();
                let text = String::from_utf8(frame.bytes().to_vec()).unwrap();
                let number = text.split_once("data: event ").unwrap().1;
                let number = number.split_once(".\n").unwrap().0;
                all.push(Got::Event(number.parse().unwrap()));
            }
        }
    }
    topics.close().await.unwrap();
    Some(all)
}

/// Whether each event is there in its order, or a gap stands in its place.
fn is_told(got: &[Got]) -> bool {
    let mut next = 1;
    let mut is_gap = false;
    for got in got {
        match got {
            Got::Event(999) => {}
            Got::Event(number) if *number == next || (is_gap && *number > next) => {
                next = number + 1;
                is_gap = false;
            }
            Got::Event(_) => return false,
            Got::Damaged(_) => is_gap = true,
        }
    }
    is_gap || next == COUNT + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_of_a_row_gives_a_wrong_event_or_a_hole_that_is_not_told() {
    let whole = Folder::new();
    whole_log(&whole, COUNT).await;
    let bytes = fs::read(whole.log()).unwrap();
    let text = format!("data: event {NUMBER}.\n");
    let place = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes());
    let place = place.unwrap();
    let range = place - BEFORE..place + text.len() + AFTER;
    let (mut refused, mut exact, mut flips, mut repaired) = (0, 0, 0, 0);
    for bit in range.start * 8..range.end * 8 {
        let folder = Folder::new();
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(folder.log(), &damaged).unwrap();
        flips += 1;
        match readable(&folder).await {
            Some(got) => {
                assert!(is_told(&got), "bit {bit}: {got:?}");
                let events = got
                    .iter()
                    .filter(|got| matches!(got, Got::Event(_)))
                    .count() as u64;
                exact += u64::from(events >= COUNT);
            }
            None => refused += 1,
        }
        // The command is a process of its own, and slow to start.
        if bit % 16 != 5 {
            continue;
        }
        repaired += 1;
        fs::write(folder.log(), &damaged).unwrap();
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", folder.name()));
        }
        let done = run(&["repair", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "bit {bit}: {}", done.err);
        let done = run(&["check", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "bit {bit}: {}", done.text());
        let got = readable(&folder).await.expect("a repaired file opens");
        assert!(is_told(&got), "bit {bit}: {got:?}");
    }
    // Most cost at most the event itself; the rest are sizes and types by which SQLite finds its way, and refuses the file.
    assert!(
        exact * 10 >= flips * 7,
        "{exact} of {flips}, {refused} refused, {repaired} repaired"
    );
}

#[tokio::test]
async fn a_reader_in_the_middle_of_damage_goes_on_after_the_next_publish() {
    let folder = Folder::new();
    whole_log(&folder, COUNT).await;
    super::files::change(
        &folder.log(),
        format!("event {COUNT}.").as_bytes(),
        b"Event",
    );
    run(&["repair", &folder.name()], b"").await;
    let topics = node(&folder).await;
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().from_start().open().unwrap();
    assert_eq!(
        got(&mut reader, COUNT as usize).await.last(),
        Some(&Got::Damaged(Some(1)))
    );
    publish(&topics, 13..=13).await;
    assert_eq!(got(&mut reader, 1).await, [Got::Event(13)]);
    topics.close().await.unwrap();
}
