//! The checker: compares what was acknowledged and what each reader got with the log. Pure.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::journal::{Item, data, place};

/// An event that a node said is published.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    /// The data: `PUBLISHER-NUMBER` and any number of full stops; each publisher sends its numbers in order.
    pub(crate) data: String,
}

impl Acknowledged {
    /// The event as readers get it.
    pub(crate) fn as_item(&self) -> Item {
        let bytes = format!("data: {}\nid: {}", self.data, self.id);
        Item::Event {
            id: self.id.clone(),
            bytes: bytes.into_bytes().into(),
        }
    }
}

/// A log, read from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    events: Vec<(String, Box<[u8]>)>,
    index: HashMap<String, usize>,
}

impl Log {
    /// The events that a reader of everything got.
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut log = Self::default();
        for item in items {
            if let Item::Event { id, bytes } = item {
                log.index.insert(id.clone(), log.events.len());
                log.events.push((id.clone(), bytes.clone()));
            }
        }
        log
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The first event after a place.
    fn after(&self, id: &str) -> usize {
        let after = place(id);
        let is_before = |(id, _): &(String, Box<[u8]>)| place(id).offset <= after.offset;
        self.events.partition_point(is_before)
    }
}

/// What was compared, and everything that was wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) readers: usize,
    /// Events of readers whose bytes were compared with the log.
    pub(crate) compared: usize,
    pub(crate) acknowledged: usize,
    /// Acknowledged and not in the log.
    pub(crate) lost: usize,
    /// In the log, and not under the id that its publisher was told in the end.
    pub(crate) doubled: usize,
    /// Ids that do not increase, and events of one publisher out of their order.
    pub(crate) unordered: usize,
    /// In the log, between two that a reader got or before the end, and not delivered to it.
    pub(crate) missed: usize,
    /// Delivered to a reader again or too late.
    pub(crate) repeated: usize,
    /// Delivered, and not in the log, or with other bytes.
    pub(crate) vanished: usize,
    /// Gaps that readers were told.
    pub(crate) gaps: usize,
}

impl Report {
    /// Whether nothing was lost, doubled or out of order. Gaps are for the test to judge.
    pub(crate) fn is_exact(&self) -> bool {
        let wrong = [
            self.lost,
            self.doubled,
            self.unordered,
            self.missed,
            self.repeated,
            self.vanished,
        ];
        wrong.iter().all(|&count| count == 0)
    }

    /// Compares the log with itself and with what was acknowledged in the end, which is everything in it.
    pub(crate) fn check_log(&mut self, log: &Log, acknowledged: &[Acknowledged]) {
        self.check_order(log);
        self.acknowledged = acknowledged.len();
        for event in acknowledged {
            let stored = log.index.get(&event.id).map(|&at| &log.events[at].1);
            if stored.is_none_or(|bytes| data(bytes) != event.data) {
                self.lost += 1;
            }
        }
        // What stands there twice has an id that nobody was told.
        let told: HashSet<&str> = acknowledged.iter().map(|event| event.id.as_str()).collect();
        let untold = log.events.iter().filter(|(id, _)| !told.contains(&**id));
        self.doubled += untold.count();
    }

    /// Compares the log with itself: ids increase, and so do the numbers of each publisher.
    pub(crate) fn check_order(&mut self, log: &Log) {
        let mut numbers = HashMap::new();
        let mut last = None;
        for (id, bytes) in &log.events {
            let offset = place(id).offset;
            let is_ordered = last.replace(offset).is_none_or(|last| last < offset);
            self.unordered += usize::from(!is_ordered);
            let (publisher, number) = data(bytes).split_once('-').unwrap();
            let number: u64 = number.trim_end_matches('.').parse().unwrap();
            let before = numbers.insert(publisher, number);
            self.unordered += usize::from(before.is_some_and(|before| before >= number));
        }
    }

    /// Compares what one reader got, from the first event of the log on.
    pub(crate) fn check_reader(&mut self, items: &[Item], log: &Log) {
        self.check_run(items, log, Some(log), 0);
    }

    /// Compares what a reader got who was there when the log lost its end: up to its first gap with the log as it was,
    /// then with the log as it is. Without a gap, with the log as it is.
    pub(crate) fn check_reader_of_fork(&mut self, items: &[Item], before: &Log, after: &Log) {
        let has_gap = items.iter().any(|item| matches!(item, Item::Gap { .. }));
        let first = if has_gap { before } else { after };
        self.check_run(items, first, Some(after), 0);
    }

    fn check_run(&mut self, items: &[Item], first: &Log, after_gap: Option<&Log>, begin: usize) {
        self.readers += 1;
        let (mut log, mut next) = (first, begin);
        for item in items {
            match item {
                Item::Gap { after, .. } => {
                    self.gaps += 1;
                    log = after_gap.unwrap_or(log);
                    next = log.after(after);
                }
                Item::Event { id, bytes } => {
                    self.compared += 1;
                    match log.index.get(id) {
                        Some(&at) if log.events[at].1 == *bytes => {
                            if at < next {
                                self.repeated += 1;
                            } else {
                                self.missed += at - next;
                                next = at + 1;
                            }
                        }
                        _ => self.vanished += 1,
                    }
                }
            }
        }
        self.missed += log.len() - next;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} readers, {} deliveries compared: {} lost, {} doubled, {} out of order, {} missed, \
             {} repeated, {} vanished, {} gaps",
            self.acknowledged,
            self.readers,
            self.compared,
            self.lost,
            self.doubled,
            self.unordered,
            self.missed,
            self.repeated,
            self.vanished,
            self.gaps
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: usize = 40;

    fn id(at: usize) -> String {
        format!("1.00000000007.{}.00000a", 2 * at + 1)
    }

    fn event(at: usize) -> Item {
        let bytes = format!("data: a-{at}\nid: {}", id(at));
        Item::Event {
            id: id(at),
            bytes: bytes.into_bytes().into(),
        }
    }

    fn run() -> Vec<Item> {
        (0..EVENTS).map(event).collect()
    }

    fn checked(items: &[Item]) -> Report {
        let mut report = Report::default();
        report.check_reader(items, &Log::of(&run()));
        report
    }

    fn checked_log(items: &[Item]) -> Report {
        let acknowledged = run().into_iter().map(|item| match item {
            Item::Event { id, bytes } => Acknowledged {
                id,
                data: data(&bytes).to_owned(),
            },
            Item::Gap { .. } => unreachable!("the run has none"),
        });
        let mut report = Report::default();
        report.check_log(&Log::of(items), &acknowledged.collect::<Vec<_>>());
        report
    }

    #[test]
    fn the_log_itself_is_exact() {
        let report = checked(&run());
        assert!(report.is_exact(), "{report}");
        assert_eq!((report.compared, report.gaps), (EVENTS, 0));
        assert!(checked_log(&run()).is_exact());
    }

    #[test]
    fn a_dropped_event_is_found_wherever_it_is() {
        for at in 0..EVENTS {
            let mut items = run();
            items.remove(at);
            assert_eq!(checked(&items).missed, 1, "at {at}");
            assert_eq!(checked_log(&items).lost, 1, "at {at}");
        }
    }

    #[test]
    fn a_repeated_event_is_found_wherever_it_is() {
        for at in 0..EVENTS {
            for again in at..EVENTS {
                let mut items = run();
                items.insert(again + 1, event(at));
                let report = checked(&items);
                assert_eq!(
                    (report.repeated, report.missed),
                    (1, 0),
                    "{at} after {again}"
                );
            }
        }
    }

    #[test]
    fn swapped_events_are_found_wherever_they_are() {
        for at in 1..EVENTS {
            let mut items = run();
            items.swap(at - 1, at);
            assert!(!checked(&items).is_exact(), "at {at}");
            assert!(!checked_log(&items).is_exact(), "at {at}");
        }
    }

    #[test]
    fn an_event_that_was_stored_twice_is_found() {
        let mut items = run();
        let bytes = format!("data: a-7\nid: {}", id(EVENTS));
        items.push(Item::Event {
            id: id(EVENTS),
            bytes: bytes.into_bytes().into(),
        });
        assert_eq!(checked_log(&items).doubled, 1);
    }

    #[test]
    fn other_bytes_under_the_same_id_are_found() {
        let mut items = run();
        let bytes = format!("data: a-8\nid: {}", id(7));
        items[7] = Item::Event {
            id: id(7),
            bytes: bytes.into_bytes().into(),
        };
        let report = checked(&items);
        assert_eq!((report.vanished, report.missed), (1, 1));
    }

    #[test]
    fn after_a_gap_everything_after_its_place_is_expected() {
        let gap = |at: usize| Item::Gap {
            after: id(at),
            reason: "trimmed".to_owned(),
        };
        let mut items = run();
        items.splice(5..20, [gap(19)]);
        let report = checked(&items);
        assert!(report.is_exact(), "{report}");
        assert_eq!(report.gaps, 1);
        // The gap says 18, so 19 is missing.
        let mut items = run();
        items.splice(5..20, [gap(18)]);
        assert_eq!(checked(&items).missed, 1);
    }

    #[test]
    fn a_fork_is_exact_before_and_after_its_gap() {
        let before = Log::of(&run());
        let mut forked = run();
        forked.truncate(30);
        let (mut lost, mut gained) = (run(), forked.clone());
        lost.truncate(35);
        let bytes = format!("data: b-0\nid: {}", id(32));
        let new = Item::Event {
            id: id(32).replace("00000a", "00000b"),
            bytes: bytes.into_bytes().into(),
        };
        gained.push(new.clone());
        let after = Log::of(&gained);
        // Told of the gap, and given the rest of the log again.
        let mut items = lost.clone();
        items.push(Item::Gap {
            after: "1.00000000007.0.000000".to_owned(),
            reason: "regressed".to_owned(),
        });
        items.extend(gained.clone());
        let mut report = Report::default();
        report.check_reader_of_fork(&items, &before, &after);
        assert!(report.is_exact(), "{report}");
        // Not told: the events that vanished are found.
        let mut report = Report::default();
        lost.push(new);
        report.check_reader_of_fork(&lost, &before, &after);
        assert_eq!(report.vanished, 5);
    }
}
