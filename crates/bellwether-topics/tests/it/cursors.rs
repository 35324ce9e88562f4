//! What each kind of `Last-Event-ID` leads to, exactly.

use bellwether_topics::{AfterGap, Cursor, Epoch, GapReason, Offset, Retention, Topic, Topics};

use crate::shared::{NONE, numbers, publish, ready};

/// What a resume leads to: the events that come, after a gap or not.
enum Expected {
    Events(&'static [u64]),
    Gap(GapReason, Option<u64>, &'static [u64]),
}

use Expected::{Events, Gap};
use GapReason::{Regressed, Trimmed, Unknown};

/// A topic that had events 1 to 10, at offsets 1 to 10, and has 6 to 10.
fn topic() -> (Topics, Topic, Vec<Cursor>) {
    let retention = Retention::new().max_events(5);
    let topics = Topics::builder().retention(retention).build();
    let topic = topics.topic("t").unwrap();
    let cursors = (1..=10).map(|n| publish(&topic, n).parse().unwrap());
    let cursors = cursors.collect();
    (topics, topic, cursors)
}

#[test]
fn every_kind_of_cursor_has_its_exact_answer() {
    let (topics, topic, cursors) = topic();
    let at = |offset: usize| cursors[offset - 1];
    let head = topics.head();
    let epoch = head.epoch;
    let with = |offset, tag| Cursor { epoch, offset, tag };
    let other_epoch = Cursor {
        epoch: Epoch(epoch.0 ^ 1),
        ..at(8)
    };
    let text = |cursor: Cursor| cursor.to_string();
    let full: &[u64] = &[6, 7, 8, 9, 10];

    let table = [
        ("empty", String::new(), Events(&[])),
        ("at head", text(at(10)), Events(&[])),
        ("inside", text(at(8)), Events(&[9, 10])),
        ("oldest kept", text(at(6)), Events(&[7, 8, 9, 10])),
        ("at floor", text(at(5)), Events(full)),
        ("below floor", text(at(4)), Gap(Trimmed, Some(1), full)),
        ("first", text(at(1)), Gap(Trimmed, Some(4), full)),
        (
            "zero",
            text(with(Offset::ZERO, 0)),
            Gap(Trimmed, Some(5), full),
        ),
        (
            "wrong tag",
            text(with(at(8).offset, at(8).tag ^ 1)),
            Gap(Regressed, None, full),
        ),
        (
            "wrong tag below floor",
            text(with(at(2).offset, !at(2).tag)),
            Gap(Regressed, None, full),
        ),
        (
            "beyond head",
            text(with(Offset::new(11), 1)),
            Gap(Regressed, None, full),
        ),
        (
            "far beyond head",
            text(with(Offset::MAX, u32::MAX)),
            Gap(Regressed, None, full),
        ),
        (
            "other epoch",
            text(other_epoch),
            Gap(GapReason::Epoch, None, full),
        ),
        (
            "zero with a tag",
            format!(
                "{}1",
                text(with(Offset::ZERO, 0)).strip_suffix('0').unwrap()
            ),
            Gap(Unknown, None, full),
        ),
        ("garbage", "garbage".to_owned(), Gap(Unknown, None, full)),
        ("a number", "8".to_owned(), Gap(Unknown, None, full)),
        (
            "over-long",
            text(at(8)) + &"0".repeat(10_000),
            Gap(Unknown, None, full),
        ),
        (
            "unicode",
            "1.ä\u{202e}\u{10ffff}.8.x".to_owned(),
            Gap(Unknown, None, full),
        ),
        (
            "control characters",
            "1.\0\r\n.8.".to_owned(),
            Gap(Unknown, None, full),
        ),
        (
            "a space behind",
            text(at(8)) + " ",
            Gap(Unknown, None, full),
        ),
        (
            "a leading zero",
            text(at(8)).replacen(".8.", ".08.", 1),
            Gap(Unknown, None, full),
        ),
        (
            "a later version",
            text(at(8)).replacen("1.", "2.", 1),
            Gap(Unknown, None, full),
        ),
    ];
    for (name, asked, expected) in table {
        let mut reader = topic.subscribe().after(asked.as_str()).open().unwrap();
        let got = ready(&mut reader);
        match expected {
            Events(events) => assert_eq!(numbers(&got), events, "{name}"),
            Gap(reason, lost, events) => {
                let gap = got[0].gap().unwrap_or_else(|| panic!("{name}: no gap"));
                assert_eq!(gap.reason(), reason, "{name}");
                assert_eq!(gap.lost(), lost, "{name}");
                assert_eq!(gap.floor(), Offset::new(5), "{name}");
                assert_eq!(gap.head(), Offset::new(10), "{name}");
                assert_eq!(gap.cursor(), at(5), "{name}");
                let shown = gap.asked().unwrap();
                assert!(shown.len() <= 64 && shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
                assert_eq!(numbers(&got[1..]), events, "{name}");
            }
        }
    }
}

#[test]
fn the_id_of_a_gap_makes_the_next_resume_a_clean_one() {
    let (_, topic, _) = topic();
    let mut reader = topic.subscribe().after("garbage").open().unwrap();
    let gap = ready(&mut reader)[0].gap().unwrap().clone();
    let id = gap.to_event(bellwether_topics::GAP_EVENT_NAME);
    let id = id.event_id().unwrap().clone();
    let mut reader = topic.subscribe().after(id.as_str()).open().unwrap();
    assert_eq!(numbers(&ready(&mut reader)), [6, 7, 8, 9, 10]);
}

#[test]
fn after_a_gap_a_reader_goes_on_where_it_wants() {
    let (_, topic, cursors) = topic();
    let asked = cursors[0].to_string();
    let open = |after_gap| {
        let subscribe = topic.subscribe().after(asked.as_str());
        subscribe.after_gap(after_gap).open().unwrap()
    };
    let mut latest = open(AfterGap::Latest);
    let got = ready(&mut latest);
    assert_eq!(numbers(&got), [0]);
    assert_eq!(got[0].gap().unwrap().cursor(), cursors[9]);
    assert_eq!(got[0].gap().unwrap().lost(), Some(9));

    let mut close = open(AfterGap::Close);
    assert_eq!(numbers(&ready(&mut close)), [0]);
    let reason = bellwether_topics::CloseReason::Gap;
    assert_eq!(close.close_reason(), Some(reason));

    publish(&topic, 11);
    assert_eq!(numbers(&ready(&mut latest)), [11]);
}

#[test]
fn a_reader_of_a_quiet_topic_has_no_gap_beside_a_loud_one() {
    let retention = Retention::new().max_events(5);
    let topics = Topics::builder().retention(retention).build();
    let (quiet, loud) = (
        topics.topic("quiet").unwrap(),
        topics.topic("loud").unwrap(),
    );
    let id = publish(&quiet, 1);
    for n in 1..=100 {
        publish(&loud, n);
    }
    let mut reader = quiet.subscribe().after(id.as_str()).open().unwrap();
    assert_eq!(numbers(&ready(&mut reader)), NONE);
    publish(&quiet, 2);
    assert_eq!(numbers(&ready(&mut reader)), [2]);
    // With the loud topic in the same subscription, history is lost.
    let mut both = topics
        .subscribe(["quiet", "loud"])
        .after(id.as_str())
        .open()
        .unwrap();
    let got = ready(&mut both);
    assert_eq!(got[0].gap().unwrap().reason(), Trimmed);
    assert_eq!(got[0].gap().unwrap().lost(), Some(96));
    assert_eq!(numbers(&got[1..]), [97, 98, 99, 100, 2]);
}

#[test]
fn one_cursor_is_a_position_in_several_topics() {
    let topics = Topics::new();
    let handles = ["a", "b", "c"].map(|name| topics.topic(name).unwrap());
    let ids: Vec<_> = (1..=9)
        .map(|n| publish(&handles[n as usize % 3], n))
        .collect();
    let mut reader = topics
        .subscribe(["c", "a", "a"])
        .after(ids[3].as_str())
        .open()
        .unwrap();
    assert_eq!(numbers(&ready(&mut reader)), [5, 6, 8, 9]);
    let mut all = topics
        .subscribe(["a", "b", "c"])
        .from_start()
        .open()
        .unwrap();
    assert_eq!(numbers(&ready(&mut all)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_filter_holds_for_replayed_and_for_new_events() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    for n in 1..=5 {
        publish(&topic, n);
    }
    let even = |frame: &bellwether_topics::Frame| crate::checker::number(frame).is_multiple_of(2);
    let mut reader = topic.subscribe().from_start().filter(even).open().unwrap();
    assert_eq!(numbers(&ready(&mut reader)), [2, 4]);
    for n in 6..=9 {
        publish(&topic, n);
    }
    assert_eq!(numbers(&ready(&mut reader)), [6, 8]);
}
