//! Readers beside a writer that is busy: pages stay exact, and the write-ahead log stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};

use crate::folder::Folder;
use crate::records::{append, record};

/// Records of 10 kB, so that the write-ahead log grows fast.
fn records(first: u64) -> Vec<NewRecord> {
    let large = |number| NewRecord {
        event: vec![b'x'; 10_000].into(),
        ..record("t", number)
    };
    (first..first + 50).map(large).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_pause_do_not_let_the_write_ahead_log_grow_without_bound() {
    let folder = Folder::new();
    let broker = SqliteBroker::builder(folder.log())
        .max_records(2000)
        .open()
        .unwrap();
    append(&broker, &records(0)).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (broker, is_over) = (broker.clone(), is_over.clone());
            tokio::spawn(async move {
                let (mut from, mut pages) = (Offset::ZERO, 0_u64);
                while !is_over.load(Ordering::Relaxed) {
                    let page = broker
                        .read(ReadRequest {
                            from,
                            topics: None,
                            max_records: 64,
                            max_bytes: 1 << 20,
                        })
                        .await
                        .unwrap();
                    let steps = page.records.windows(2);
                    assert!(
                        steps
                            .into_iter()
                            .all(|two| { two[0].offset.low() + 1 == two[1].offset.low() })
                    );
                    pages += 1;
                    from = page.records.last().map_or(page.floor, |last| last.offset);
                    if from == page.head {
                        from = page.floor;
                    }
                }
                pages
            })
        })
        .collect();
    let mut largest = 0;
    // 100 MB through a log of 20 MB.
    for first in (50..10_000).step_by(50) {
        append(&broker, &records(first)).await.unwrap();
        let wal = folder.path().join("events.db-wal");
        largest = largest.max(wal.metadata().unwrap().len());
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    println!("largest write-ahead log: {} MiB", largest >> 20);
    assert!(largest <= 80 << 20);
    broker.shutdown().await.unwrap();
}
