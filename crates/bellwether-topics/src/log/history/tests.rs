//! The history against a plain list of everything that was ever appended.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::frame::Draft;

const TOPICS: [&str; 3] = ["a", "b", "c"];
const KEYS: [Option<&str>; 4] = [None, Some("x"), Some("y"), Some("z")];

#[derive(Clone, Debug)]
enum Op {
    Append {
        topic: usize,
        key: usize,
        bytes: usize,
    },
    Wait {
        seconds: u64,
    },
    /// Unpins a topic or pins it.
    Toggle {
        topic: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..3_usize, 0..4_usize, 0..300_usize)
            .prop_map(|(topic, key, bytes)| Op::Append { topic, key, bytes }),
        1 => (0..4_u64).prop_map(|seconds| Op::Wait { seconds }),
        1 => (0..3_usize).prop_map(|topic| Op::Toggle { topic }),
    ];
    prop::collection::vec(op, 0..80)
}

fn retention() -> impl Strategy<Value = Retention> {
    (1..20_usize, 400..8000_usize, 1..8_u64, 0..3_usize).prop_map(|(events, bytes, age, keys)| {
        Retention::new()
            .max_events(events)
            .max_bytes(bytes)
            .max_age(Duration::from_secs(age))
            .max_keys(keys)
    })
}

/// A record as the model keeps it, for good.
#[derive(Clone, Debug)]
struct Known {
    offset: u64,
    topic: usize,
    key: usize,
    weight: usize,
    at: Instant,
    len: usize,
}

/// Everything, and how much of its front is gone.
struct Model {
    all: Vec<Known>,
    removed: usize,
    retention: Retention,
}

impl Model {
    fn trim(&mut self, now: Instant) {
        loop {
            let kept = &self.all[self.removed..];
            let weight: usize = kept.iter().map(|known| known.weight).sum();
            let is_over = kept.len() > self.retention.max_events
                || (weight > self.retention.max_bytes && kept.len() > 1)
                || kept
                    .first()
                    .is_some_and(|known| now - known.at > self.retention.max_age);
            if kept.is_empty() || !is_over {
                return;
            }
            self.removed += 1;
        }
    }

    fn after(&self, topics: &[usize], after: u64) -> Vec<u64> {
        self.all[self.removed..]
            .iter()
            .filter(|known| known.offset > after && topics.contains(&known.topic))
            .map(|known| known.offset)
            .collect()
    }

    fn is_complete(&self, topics: &[usize], after: u64) -> bool {
        !self.all[..self.removed]
            .iter()
            .any(|known| known.offset > after && topics.contains(&known.topic))
    }

    /// The newest of each key and everything without one, of all that was ever appended after a position.
    fn latest(&self, topics: &[usize], after: u64) -> Vec<u64> {
        let mut newest = HashMap::new();
        for known in &self.all {
            newest.insert((known.topic, known.key), known.offset);
        }
        self.all
            .iter()
            .filter(|known| known.offset > after && topics.contains(&known.topic))
            .filter(|known| known.key == 0 || newest[&(known.topic, known.key)] == known.offset)
            .map(|known| known.offset)
            .collect()
    }
}

struct World {
    history: History,
    model: Model,
    /// The key of each topic that is pinned.
    held: [Option<TopicKey>; 3],
    /// Topics of which the history may have had to forget how far they were removed.
    was_let_go: [bool; 3],
    now: Instant,
}

impl World {
    fn new(retention: Retention) -> Self {
        let mut history = History::new(Epoch(1), Proof::Derived(99), retention);
        let held = TOPICS.map(|name| {
            let key = history.entry(&Arc::from(name));
            history.pin(key);
            Some(key)
        });
        Self {
            history,
            model: Model {
                all: Vec::new(),
                removed: 0,
                retention,
            },
            held,
            was_let_go: [false; 3],
            now: Instant::now(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append { topic, key, bytes } => {
                let name: Arc<str> = Arc::from(TOPICS[topic]);
                let entry = self.history.entry(&name);
                let event = format!("data: {}\n\n", "x".repeat(bytes));
                let cursor = self.history.next_cursor();
                let draft = Draft::of_encoded(event.as_bytes(), KEYS[key]);
                let frame = draft.into_frame(cursor, name, self.now);
                self.model.all.push(Known {
                    offset: cursor.offset.low(),
                    topic,
                    key,
                    weight: frame.weight(),
                    at: self.now,
                    len: frame.len(),
                });
                self.history.append(entry, frame, self.now);
            }
            Op::Wait { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.history.trim(self.now);
            }
            Op::Toggle { topic } => match self.held[topic].take() {
                Some(key) => {
                    self.history.unpin(key);
                    self.was_let_go[topic] = true;
                }
                None => {
                    let key = self.history.entry(&Arc::from(TOPICS[topic]));
                    self.history.pin(key);
                    self.held[topic] = Some(key);
                }
            },
        }
        self.model.trim(self.now);
    }

    fn read(&self, keys: &[TopicKey], after: u64, events: usize) -> (Vec<u64>, Run) {
        let limit = Limit {
            events,
            bytes: usize::MAX,
        };
        let mut out = Vec::new();
        let run = self.history.read(keys, Offset::new(after), limit, |frame| {
            out.push(frame.cursor().offset.low());
        });
        (out, run)
    }
}

proptest! {
    #[test]
    fn a_history_answers_like_the_list_of_everything(
        retention in retention(),
        ops in ops(),
        wanted in prop::sample::subsequence(vec![0_usize, 1, 2], 1..=3),
        positions in prop::collection::vec(0..90_u64, 1..8),
        limit in 1..10_usize,
    ) {
        let mut world = World::new(retention);
        for op in &ops {
            world.apply(op);
        }
        prop_assert_eq!(world.history.floor().low(), world.model.removed as u64);
        prop_assert_eq!(world.history.head().low(), world.model.all.len() as u64);

        let keys: Vec<_> = wanted.iter().filter_map(|topic| world.held[*topic]).collect();
        prop_assume!(keys.len() == wanted.len());
        for position in positions {
            let after = position.min(world.model.all.len() as u64);
            let offset = Offset::new(after);
            let expected = world.model.after(&wanted, after);

            // The whole rest at once, and a part of it.
            let (all, run) = world.read(&keys, after, usize::MAX);
            prop_assert_eq!(&all, &expected);
            prop_assert!(!run.is_cut);
            let (some, run) = world.read(&keys, after, limit);
            prop_assert_eq!(&some, &expected[..limit.min(expected.len())]);
            prop_assert_eq!(run.is_cut, expected.len() > limit);

            // Completeness: exact while the topics were pinned, never too optimistic otherwise.
            let is_complete = world.history.is_complete(&keys, offset);
            let should_be = world.model.is_complete(&wanted, after);
            prop_assert!(!is_complete || should_be, "a hole would be silent");
            if wanted.iter().all(|topic| !world.was_let_go[*topic]) {
                prop_assert_eq!(is_complete, should_be);
                if is_complete {
                    let seen = world.history.seen_at(&keys, offset);
                    let total = world.history.total(&keys);
                    prop_assert_eq!(total.events - seen.events, expected.len() as u64);
                    let bytes: usize = world.model.all.iter()
                        .filter(|known| expected.contains(&known.offset))
                        .map(|known| known.len)
                        .sum();
                    prop_assert_eq!(total.bytes - seen.bytes, bytes as u64);
                }
            }

            // The newest of each key: all of them where that is claimed, and in order.
            let everything = Limit { events: usize::MAX, bytes: usize::MAX };
            let mut latest = Vec::new();
            world.history.read_latest(&keys, offset, everything, |frame| {
                latest.push(frame.cursor().offset.low());
            });
            prop_assert!(latest.is_sorted());
            if world.history.is_complete_per_key(&keys, offset) {
                let needed = world.model.latest(&wanted, after);
                prop_assert!(needed.iter().all(|offset| latest.contains(offset)), "{needed:?} {latest:?}");
                if retention.max_keys >= 3 {
                    prop_assert_eq!(latest, needed);
                }
            }
            prop_assert!(!is_complete || world.history.is_complete_per_key(&keys, offset));
        }
    }

    #[test]
    fn every_frame_that_was_ever_read_is_a_proven_position(ops in ops()) {
        let mut world = World::new(Retention::new().max_events(3));
        for op in &ops {
            world.apply(op);
        }
        let head = world.history.head();
        for offset in 0..=head.low() + 2 {
            let offset = Offset::new(offset);
            let cursor = Cursor { epoch: Epoch(1), offset, tag: derive_tag(99, offset) };
            let is_proven = world.history.anchor(&cursor) == Anchor::Proven;
            prop_assert_eq!(is_proven, offset <= head);
            let forged = Cursor { tag: cursor.tag ^ 1, ..cursor };
            prop_assert_eq!(world.history.anchor(&forged), Anchor::Lost(GapReason::Regressed));
            let old = Cursor { epoch: Epoch(2), ..cursor };
            prop_assert_eq!(world.history.anchor(&old), Anchor::Lost(GapReason::Epoch));
        }
    }
}

/// A history that a broker fills with records at 10, 20, 30 after a floor at 5, with tags equal to the offsets.
fn stored(floor_tag: Option<u32>) -> History {
    let mut history = History::new(Epoch(1), Proof::Stored, Retention::new());
    history.reset(Epoch(1), Offset::new(5), floor_tag);
    for offset in [10, 20, 30] {
        let name: Arc<str> = Arc::from("a");
        let key = history.entry(&name);
        let cursor = Cursor {
            epoch: Epoch(1),
            offset: Offset::new(offset),
            tag: offset as u32,
        };
        let now = Instant::now();
        let draft = Draft::of_encoded(b"data: x\n\n", None);
        history.append(key, draft.into_frame(cursor, name, now), now);
    }
    history
}

#[test]
fn a_stored_record_proves_a_cursor_only_with_its_tag() {
    let asked = |offset, tag| Cursor {
        epoch: Epoch(1),
        offset: Offset::new(offset),
        tag,
    };
    let history = stored(Some(55));
    let lost = Anchor::Lost(GapReason::Regressed);
    for (cursor, expected) in [
        (asked(10, 10), Anchor::Proven),
        (asked(30, 30), Anchor::Proven),
        (asked(20, 21), lost),
        (asked(15, 15), lost),
        (asked(31, 0), Anchor::Ahead),
        (asked(5, 55), Anchor::Proven),
        (asked(5, 5), lost),
        (asked(4, 4), Anchor::Older),
        (asked(0, 0), Anchor::Older),
    ] {
        assert_eq!(history.anchor(&cursor), expected, "{cursor}");
    }
    assert_eq!(stored(None).anchor(&asked(5, 5)), Anchor::Older);
}

#[test]
fn a_quiet_topic_stays_complete_beside_a_loud_one() {
    let mut world = World::new(Retention::new().max_events(4));
    let append = |topic| Op::Append {
        topic,
        key: 0,
        bytes: 1,
    };
    world.apply(&append(0));
    for _ in 0..50 {
        world.apply(&append(1));
    }
    let keys = world.held.map(Option::unwrap);
    assert_eq!(world.history.floor(), Offset::new(47));
    // The one event of the quiet topic is gone, and nothing after it was.
    assert!(world.history.is_complete(&keys[..1], Offset::new(1)));
    assert!(!world.history.is_complete(&keys[..1], Offset::new(0)));
    assert!(!world.history.is_complete(&keys[..2], Offset::new(1)));
    assert!(world.history.is_complete(&keys[2..], Offset::ZERO));
}

#[test]
fn a_forgotten_topic_counts_as_removed() {
    let mut world = World::new(Retention::new().max_events(1));
    let append = |topic| Op::Append {
        topic,
        key: 0,
        bytes: 1,
    };
    world.apply(&append(0));
    world.apply(&Op::Toggle { topic: 0 });
    assert_eq!(world.history.topic_count(), 3);
    world.apply(&append(1));
    assert_eq!(
        world.history.topic_count(),
        2,
        "it is not pinned and nothing is left"
    );
    world.apply(&Op::Toggle { topic: 0 });
    let key = world.held[0].unwrap();
    assert!(!world.history.is_complete(&[key], Offset::ZERO));
    assert!(world.history.is_complete(&[key], Offset::new(1)));
}

#[test]
fn a_large_event_stays_until_the_next_one() {
    let mut world = World::new(Retention::new().max_bytes(1000));
    let append = |bytes| Op::Append {
        topic: 0,
        key: 0,
        bytes,
    };
    world.apply(&append(5000));
    let keys = [world.held[0].unwrap()];
    assert_eq!(world.read(&keys, 0, 9).0, [1]);
    world.apply(&append(1));
    assert_eq!(world.read(&keys, 0, 9).0, [2]);
}

#[test]
fn reading_starts_right_after_any_offset_in_a_list_of_any_length() {
    let mut world = World::new(Retention::new());
    let keys = [world.held[0].unwrap()];
    for length in 1..=130_u64 {
        // Every other offset belongs to another topic, so that some of them are between frames.
        for topic in [0, 1] {
            world.apply(&Op::Append {
                topic,
                key: 0,
                bytes: 1,
            });
        }
        for after in 0..=2 * length {
            let expected = after / 2 * 2 + 1 + 2 * (after % 2);
            let (got, _) = world.read(&keys, after, 1);
            assert_eq!(got.first(), (expected < 2 * length).then_some(&expected));
        }
    }
}
