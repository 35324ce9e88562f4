//! Promises about appending: which records come back, in which order, and how often.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord};
use bytes::Bytes;

use super::BrokerFactory;
use super::steps::{append, call, check_order, fill, numbers, read, read_all, record};
use crate::within;

/// Order, tags, names, keys and bytes.
pub async fn appended_records_come_back_unchanged_and_in_order(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let long_name: Arc<str> = Arc::from("ü".repeat(127));
    let events: [&[u8]; 4] = [
        b"data: 1\n\n",
        "event: ü\ndata: \u{0}\u{10ffff}\n\n".as_bytes(),
        b"data: \xff\xfe\n\n",
        &[b'x'; 100_000],
    ];
    let mut records = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        records.push(NewRecord {
            topic: match index {
                0 => Arc::from("a.b.*>c d/ä'\"%"),
                _ => long_name.clone(),
            },
            tag: [0, 1, u32::MAX, 77][index],
            event: Bytes::copy_from_slice(event),
            idempotency_key: (index == 1).then(|| Arc::from("k'1 ü")),
            conflation_key: (index >= 2).then(|| Arc::from("c'2 ü")),
        });
    }
    let stored = append(&*broker, &records).await;
    let page = read(&*broker, Offset::ZERO, None, 100).await;
    check_order(&page.records);
    assert_eq!(page.records.len(), records.len());
    for ((new, stored), back) in records.iter().zip(&stored).zip(&page.records) {
        assert_eq!(stored.cursor.epoch, page.epoch);
        assert_eq!(stored.cursor.offset, back.offset);
        assert_eq!(stored.cursor.tag, new.tag);
        assert!(!stored.is_duplicate);
        assert_eq!(back.tag, new.tag);
        assert_eq!(back.topic, new.topic);
        assert_eq!(back.event, new.event);
        assert_eq!(back.conflation_key, new.conflation_key);
    }
}

/// Several tasks append at the same time; nothing is lost, and each one's records keep their order.
pub async fn concurrent_appends_keep_the_order_of_each_publisher(factory: &impl BrokerFactory) {
    const EACH: u32 = 40;
    let broker = factory.open().await;
    let publishers: Vec<_> = (0..4_u32)
        .map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let first = publisher * EACH;
                fill(&*broker, &format!("t{publisher}"), first..first + EACH).await
            })
        })
        .collect();
    let mut offsets = HashSet::new();
    for publisher in publishers {
        let stored = call("a publisher", publisher).await;
        let stored = stored.unwrap_or_else(|error| panic!("a publisher failed: {error}"));
        offsets.extend(stored.iter().map(|stored| stored.cursor.offset));
    }
    assert_eq!(
        offsets.len(),
        4 * EACH as usize,
        "each record has its own offset"
    );
    let all = read_all(&*broker, Offset::ZERO, None).await;
    check_order(&all);
    for publisher in 0..4 {
        let name = format!("t{publisher}");
        let own: Vec<_> = all.iter().filter(|r| *r.topic == *name).cloned().collect();
        let first = publisher * EACH;
        assert_eq!(numbers(&own), (first..first + EACH).collect::<Vec<_>>());
    }
}

/// The same key in the same topic is one record.
pub async fn an_idempotency_key_appends_once(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let keyed = |topic, number, key: &str| NewRecord {
        idempotency_key: Some(Arc::from(key)),
        ..record(topic, number)
    };
    let batch = [
        keyed("t", 0, "k"),
        keyed("t", 1, "k"),
        keyed("t", 2, "l"),
        keyed("u", 3, "k"),
        record("t", 4),
    ];
    let stored = append(&*broker, &batch).await;
    assert_eq!(stored[0].cursor, stored[1].cursor, "also within one call");
    assert_eq!(
        stored.iter().map(|s| s.is_duplicate).collect::<Vec<_>>(),
        [false, true, false, false, false]
    );
    let later = append(&*broker, &[keyed("t", 9, "k"), keyed("t", 5, "m")]).await;
    assert_eq!(
        later[0].cursor, stored[0].cursor,
        "with the tag of the first"
    );
    assert!(later[0].is_duplicate && !later[1].is_duplicate);
    let all = read_all(&*broker, Offset::ZERO, None).await;
    assert_eq!(numbers(&all), [0, 2, 3, 4, 5]);

    if let Some(broker) = factory.reopen(broker).await {
        let again = append(&*broker, &[keyed("t", 9, "k")]).await;
        assert_eq!(again[0].cursor, stored[0].cursor, "also after a restart");
        assert!(again[0].is_duplicate);
    }
}

/// The same if nothing is left of the first record: the broker invents no other id.
pub async fn a_known_key_gives_the_first_id_after_its_record_was_trimmed(
    factory: &impl BrokerFactory,
) {
    let broker = factory.open().await;
    let keyed = NewRecord {
        idempotency_key: Some(Arc::from("k")),
        ..record("t", 0)
    };
    let first = append(&*broker, std::slice::from_ref(&keyed)).await[0];
    fill(&*broker, "t", 1..300).await;
    if !factory.trim(&*broker, 3).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    for _ in 0..2 {
        let again = append(&*broker, std::slice::from_ref(&keyed)).await[0];
        assert!(again.is_duplicate);
        assert_eq!(again.cursor, first.cursor, "the first id");
    }
}

/// The caller may drop the future at any point.
pub async fn a_dropped_append_happens_once_or_not_at_all(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    for number in 0..60 {
        let records = [record("t", number)];
        let moment = Duration::from_micros(u64::from(number) * 50);
        let _ = within(moment, broker.append(&records)).await;
    }
    let last = append(&*broker, &[record("t", 60)]).await;
    let all = read_all(&*broker, Offset::ZERO, None).await;
    check_order(&all);
    let numbers = numbers(&all);
    assert_eq!(
        numbers.iter().collect::<HashSet<_>>().len(),
        numbers.len(),
        "once"
    );
    let at = all
        .iter()
        .position(|record| record.offset == last[0].cursor.offset);
    assert_eq!(at.map(|at| numbers[at]), Some(60));
}
