//! A record of the file changes while the node is down: every reader that comes back gets all the others and one gap over
//! exactly it; one that had seen it is told nothing.

use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::journal::{Item, data, place};
use crate::publisher::{Publishers, publish_last};
use crate::reader::Readers;
use crate::scene::Folder;

const EACH: usize = 50;
const PADDING: usize = 12;

/// Flips one bit of an event's first letter, wherever the file has it.
fn damage(file: &Path, event: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let text = format!("data: {event}");
    let windows = bytes.windows(text.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == text.as_bytes());
    let places: Vec<_> = found.map(|(place, _)| place + 6).collect();
    assert!(!places.is_empty(), "{text:?} is in the file");
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_all_but_the_damaged_record_and_one_gap_over_it() {
    let folder = Folder::new("damaged");
    let file = folder.file("log.db");
    let mut cluster = Cluster::start(1, &format!("sqlite:{file}"), &[]).await;
    let addresses = cluster.addresses();
    let there = Readers::start(&addresses, EACH).await;
    let mut away = Readers::start(&addresses, EACH).await;
    let publish =
        |round| Publishers::start_with(addresses.clone(), round, 4, Duration::ZERO, PADDING);
    let first = publish("a");
    first.wait_for_more(200).await;
    let (mut acknowledged, _) = first.finish().await;
    away.wait_for(acknowledged.len()).await;
    away.leave().await;
    let seen = acknowledged.len();
    let second = publish("b");
    second.wait_for_more(200).await;
    acknowledged.extend(second.finish().await.0);
    there.wait_for(acknowledged.len()).await;

    acknowledged.sort_by_key(|event| place(&event.id).offset);
    let bad = (seen + acknowledged.len()) / 2;
    cluster.terminate(0).await;
    damage(Path::new(&file), &acknowledged[bad].data);
    cluster.start_node(0).await;
    away.come_back(&addresses);
    acknowledged.push(publish_last(&addresses).await);

    let whole: Vec<Item> = acknowledged.iter().map(|event| event.as_item()).collect();
    let mut with_gap = whole.clone();
    with_gap[bad] = Item::Gap {
        after: acknowledged[bad].id.clone(),
        reason: "damaged".to_owned(),
    };
    for run in there.finish().await {
        assert_eq!(shown(&run), shown(&whole), "it was there all the time");
        assert!(run == whole);
    }
    for run in away.finish().await {
        assert_eq!(shown(&run), shown(&with_gap), "it came back");
        assert!(run == with_gap);
    }
    println!(
        "SQLite, 1 of {} records damaged: {EACH} readers got the rest and one gap, {EACH} had it and were told nothing",
        whole.len()
    );
}

/// For the message of a failed comparison.
fn shown(items: &[Item]) -> Vec<String> {
    let show = |item: &Item| match item {
        Item::Event { bytes, .. } => data(bytes).trim_end_matches('.').to_owned(),
        Item::Gap { reason, after } => format!("{reason} up to {after}"),
    };
    items.iter().map(show).collect()
}
