//! SIGKILL while publishing: nothing that was confirmed is lost, and no number is given out twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;

use crate::folder::Folder;
use crate::records::{append, read, record};

const CHILD: &str = "BELLWETHER_SQLITE_CHILD";
const PUBLISHERS: u64 = 16;
const ROUNDS: u64 = 5;

/// This program again, as the process that publishes into the log, with numbers from `first` on.
pub(crate) fn child(log: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::the_process_that_is_killed", "--nocapture"])
        .env(CHILD, format!("{first}:{}", log.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test unless the other one started it: publishes without an end and prints what was confirmed.
#[test]
fn the_process_that_is_killed() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (first, log) = task.split_once(':').unwrap();
    let first: u64 = first.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = match SqliteBroker::open(log) {
            Ok(broker) => broker,
            Err(error) => panic!("{error}"),
        };
        let publishers = (0..PUBLISHERS).map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                for number in (first + publisher..).step_by(PUBLISHERS as usize) {
                    let topic = format!("t{publisher}");
                    let stored = append(&broker, &[record(&topic, number)]).await.unwrap();
                    println!("confirmed {} {number}", stored[0].cursor.offset);
                }
            })
        });
        for publisher in publishers.collect::<Vec<_>>() {
            publisher.await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_confirmed_and_reuses_no_offset() {
    let folder = Folder::new();
    let mut confirmed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut epoch = None;
    for round in 0..ROUNDS {
        let mut process = child(&folder.log(), round * 1_000_000);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut take = |line: std::io::Result<String>| {
            let line = line.unwrap_or_default();
            let mut words = line
                .split_once("confirmed ")
                .map(|(_, rest)| rest.split(' '))?;
            let offset = words.next()?.parse().ok()?;
            // The last line may have been cut by the kill.
            let number = words.next()?.parse().ok()?;
            assert_eq!(confirmed.insert(offset, number), None, "an offset once");
            Some(())
        };
        let mut seen = 0;
        // A different moment in each round, measured in events and not by the clock.
        while seen < 100 + round * 337 {
            seen += take(lines.next().unwrap()).map_or(0, |()| 1);
        }
        process.kill().unwrap();
        let _ = process.wait().unwrap();
        for line in lines {
            take(line);
        }
        let broker = SqliteBroker::open(folder.log()).unwrap();
        // Moved into the file and synced there, before a reader sees what was perhaps never synced.
        let wal = folder.path().join("events.db-wal");
        assert_eq!(wal.metadata().unwrap().len(), 0);
        let page = read(&broker, Offset::ZERO, None).await.unwrap();
        assert_eq!(*epoch.get_or_insert(page.epoch), page.epoch);
        let stored: BTreeMap<u64, u64> = page
            .records
            .iter()
            .map(|record| (record.offset.low(), crate::records::number(record)))
            .collect();
        for (offset, number) in &confirmed {
            assert_eq!(stored.get(offset), Some(number), "confirmed and there");
        }
        println!(
            "round {round}: {} confirmed, {} stored",
            confirmed.len(),
            stored.len()
        );
        // What was stored and not confirmed counts from here on as well: a reader has seen it.
        confirmed = stored;
        broker.shutdown().await.unwrap();
    }
}
