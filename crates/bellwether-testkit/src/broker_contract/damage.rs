//! Promises about a record that its store no longer has as it was written: it is a gap, never skipped and never handed
//! out.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, Record, Stored};

use super::BrokerFactory;
use super::node::{self, Got, events, got, reader};
use super::steps::{fill, numbers, open_tail, read_all};

/// The record comes marked as damaged, and all others come unchanged: to pages, tails and readers.
pub async fn a_damaged_record_is_a_gap_and_all_others_come(factory: &impl BrokerFactory) {
    // The first, one in the middle and the newest.
    for damaged_number in [0, 25, 49] {
        let broker = factory.open().await;
        let stored = fill(&*broker, "t", 0..50).await;
        let at = stored[damaged_number as usize].cursor.offset;
        let Some(broker) = factory.damage(broker, at).await else {
            println!("not checked: no record of this log can be damaged alone");
            return;
        };
        let topic = [Arc::from("t")];
        check(
            &read_all(&*broker, Offset::ZERO, None).await,
            damaged_number,
        );
        check(
            &read_all(&*broker, Offset::ZERO, Some(&topic)).await,
            damaged_number,
        );
        let mut tail = open_tail(&*broker, Offset::ZERO).await;
        let mut followed = Vec::new();
        while followed.len() < 50 {
            followed.extend(super::steps::next(&mut tail).await.records);
        }
        check(&followed, damaged_number);

        let appended = fill(&*broker, "t", 50..55).await;
        assert_eq!(
            appended[0].cursor.epoch, stored[0].cursor.epoch,
            "what is whole keeps its ids"
        );
        readers(broker, &stored, damaged_number).await;
    }
}

/// The records of a page or tail, of which one is damaged.
fn check(records: &[Record], damaged_number: u32) {
    assert_eq!(records.len(), 50, "each record has its offset");
    let damaged = records.iter().position(|record| record.is_damaged);
    assert_eq!(
        damaged,
        Some(damaged_number as usize),
        "the damaged one is marked"
    );
    let whole: Vec<_> = records.iter().filter(|r| !r.is_damaged).cloned().collect();
    let expected: Vec<_> = (0..50).filter(|number| *number != damaged_number).collect();
    assert_eq!(numbers(&whole), expected);
}

/// What readers of a node get: what is whole, one gap over exactly the damage, and what follows.
async fn readers(broker: Arc<impl Broker>, stored: &[Stored], damaged_number: u32) {
    let node = node::open(broker).await;
    let mut start = reader(&node, "t", None);
    let mut expected = events(0..damaged_number);
    expected.push(Got::Gap("damaged", Some(1)));
    expected.extend(events(damaged_number + 1..55));
    assert_eq!(got(&mut start, 55).await, expected);
    // A reader that has seen the record while it was whole has lost nothing.
    let mut behind = reader(&node, "t", Some(&stored[damaged_number as usize]));
    assert_eq!(
        got(&mut behind, 54 - damaged_number as usize).await,
        events(damaged_number + 1..55)
    );
}
