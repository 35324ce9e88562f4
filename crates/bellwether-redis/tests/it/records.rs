//! Records and pages at their bounds, and what is counted.

use std::sync::Arc;
use std::time::Duration;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bytes::Bytes;

use crate::support::{append, connect, read, record, run_command};

/// A record with an event of this number of bytes.
fn large(number: u32, bytes: usize) -> NewRecord {
    let byte = b'a' + (number % 26) as u8;
    NewRecord {
        event: Bytes::from(vec![byte; bytes]),
        ..record(number)
    }
}

#[tokio::test]
async fn a_batch_of_any_size_keeps_its_order() {
    let Some(server) = or_skip(RedisServer::start(&["--appendonly", "no"]).await) else {
        return;
    };
    let broker = connect(&server).await;
    // 64 MiB in records of up to 256 KiB, with small ones between them.
    let sizes = [256 << 10, 10, 1000, 64 << 10, 1];
    let records: Vec<_> = (0..1024)
        .map(|number| large(number, sizes[number as usize % 5]))
        .collect();
    let stored = append(&broker, &records).await;
    assert!(
        stored
            .windows(2)
            .all(|pair| pair[0].cursor.offset < pair[1].cursor.offset)
    );
    let mut from = Offset::ZERO;
    let mut index = 0;
    while index < records.len() {
        let mut page = read(&broker, from).await.records;
        page.retain(|record| record.offset > from);
        let bytes: usize = page.iter().map(|record| record.event.len()).sum();
        assert!(
            page.len() == 1 || bytes <= 1 << 20,
            "{bytes} bytes in a page"
        );
        for record in page {
            assert_eq!(record.offset, stored[index].cursor.offset);
            assert!(record.event == records[index].event && record.tag == records[index].tag);
            from = record.offset;
            index += 1;
        }
    }
    // A tail follows the size of what it has seen.
    let mut tail = broker.tail(Offset::ZERO).await.unwrap();
    let mut count = 0;
    while count < records.len() {
        let page = tail.next().await.unwrap().records;
        let bytes: usize = page.iter().map(|record| record.event.len()).sum();
        assert!(bytes <= 5 << 20, "{bytes} bytes in a page of a tail");
        assert!(
            page.iter()
                .zip(&stored[count..])
                .all(|(record, stored)| record.offset == stored.cursor.offset)
        );
        count += page.len();
    }
}

#[tokio::test]
async fn each_record_of_a_long_batch_gets_its_own_answer() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    // 900 records are several runs; each key comes three times, 300 apart.
    let records: Vec<_> = (0..900)
        .map(|number| NewRecord {
            idempotency_key: Some(Arc::from(format!("key {}", number % 300))),
            ..record(number)
        })
        .collect();
    let stored = append(&broker, &records).await;
    for (index, stored_) in stored.iter().enumerate() {
        let first = &stored[index % 300];
        assert_eq!(stored_.cursor, first.cursor);
        assert_eq!(stored_.is_duplicate, index >= 300);
        assert_eq!(first.cursor.tag, records[index % 300].tag);
    }
    assert_eq!(read(&broker, Offset::ZERO).await.records.len(), 300);
}

#[tokio::test]
async fn a_key_is_known_for_its_window_and_no_longer() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let builder = RedisBroker::builder(server.url());
    let builder = builder.idempotency_window(Duration::from_millis(300));
    let broker = builder.connect().await.unwrap();
    let keyed = [NewRecord {
        idempotency_key: Some(Arc::from("k")),
        ..record(1)
    }];
    let first = append(&broker, &keyed).await[0];
    assert!(append(&broker, &keyed).await[0].is_duplicate);
    let again = within(TEST_TIMEOUT, async {
        loop {
            // A duplicate does not make the window longer.
            let stored = append(&broker, &keyed).await[0];
            if !stored.is_duplicate {
                return stored;
            }
        }
    });
    assert!(again.await.unwrap().cursor.offset > first.cursor.offset);
}

#[tokio::test]
async fn a_key_of_a_lost_record_is_not_known() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let keyed = [NewRecord {
        idempotency_key: Some(Arc::from("k")),
        ..record(1)
    }];
    append(&broker, &keyed).await;
    run_command(&server, &["DEL", "{bellwether}:log"]).await;
    let again = append(&broker, &keyed).await[0];
    assert!(!again.is_duplicate);
    assert_eq!(read(&broker, again.cursor.offset).await.records.len(), 1);
}

#[tokio::test]
async fn a_rare_topic_is_found_in_few_pages() {
    let Some(server) = or_skip(RedisServer::start(&["--appendonly", "no"]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let batch: Vec<_> = (0..1000).map(record).collect();
    for _ in 0..5 {
        append(&broker, &batch).await;
    }
    let rare: Arc<str> = Arc::from("rare");
    let wanted = NewRecord {
        topic: rare.clone(),
        ..record(1)
    };
    let stored = append(&broker, &[wanted]).await[0];
    let topics = [rare];
    let mut from = Offset::ZERO;
    let mut pages = 0;
    while from != stored.cursor.offset {
        let request = ReadRequest {
            from,
            topics: Some(&topics),
            max_records: 256,
            max_bytes: 64 << 10,
        };
        let page = broker.read(request).await.unwrap();
        let last = page.records.last().unwrap();
        assert!(last.offset > from && page.records.len() <= 2);
        from = last.offset;
        pages += 1;
    }
    assert!(pages <= 3, "{pages} pages for 5,001 records");
}

#[tokio::test]
async fn exact_trimming_keeps_the_number_of_the_setting() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    for (name, is_exact) in [("exact", true), ("about", false)] {
        let builder = RedisBroker::builder(server.url())
            .name(name)
            .max_records(100);
        let builder = match is_exact {
            true => builder.exact_trimming(),
            false => builder,
        };
        let broker = builder.connect().await.unwrap();
        append(&broker, &(0..1000).map(record).collect::<Vec<_>>()).await;
        let left = read(&broker, Offset::ZERO).await.records.len();
        match is_exact {
            true => assert_eq!(left, 100),
            false => assert!((100..=300).contains(&left), "{left}"),
        }
    }
}
