//! The dashboard without a browser: a snapshot, the stream behind it, a reader that is too slow.

use std::collections::BTreeMap;

use bellwether_testkit::{Program, RawClient};
use serde_json::Value;

use crate::{next_json, started};

async fn snapshot(program: &Program) -> Value {
    let mut client = RawClient::connect_and_get(program.addr(), "/snapshot").await;
    assert_eq!(client.read_head().await.status, 200);
    let (body, _) = client.read_to_end().await;
    serde_json::from_slice(&body).unwrap()
}

async fn read_after(program: &Program, snapshot: &Value) -> RawClient {
    let after = snapshot["after"].as_str().unwrap();
    let path = format!("/prices?last_event_id={after}");
    let mut client = RawClient::connect_and_get(program.addr(), &path).await;
    assert_eq!(client.read_head().await.status, 200);
    client
}

/// Reads until every good is at this number, checks that none goes back, and returns how many prices came.
async fn read_up_to(client: &mut RawClient, goods: usize, number: u64) -> u64 {
    let mut latest = BTreeMap::new();
    let mut read = 0;
    while latest.len() < goods || latest.values().any(|seen| *seen < number) {
        let price = next_json(client).await;
        let good = price["good"].as_str().unwrap().to_owned();
        let seen = price["number"].as_u64().unwrap();
        let before = latest.insert(good, seen);
        assert!(before < Some(seen), "{price} after {before:?}");
        read += 1;
    }
    read
}

#[tokio::test]
async fn the_snapshot_has_every_good_and_the_stream_goes_on_from_there() {
    let program = started("dashboard").await;
    let snapshot = snapshot(&program).await;
    let goods = snapshot["prices"].as_object().unwrap();
    assert_eq!(goods.len(), 12);
    for line in goods.values() {
        let prices = line.as_array().unwrap();
        assert!(
            !prices.is_empty() && prices.iter().all(Value::is_f64),
            "{line}"
        );
    }
    let mut client = read_after(&program, &snapshot).await;
    let number = snapshot["number"].as_u64().unwrap();
    read_up_to(&mut client, 12, number + 20).await;
}

#[tokio::test]
async fn a_reader_that_falls_behind_gets_the_newest_of_each_good_without_a_gap() {
    const PRICES: u64 = 400;
    let program = started("dashboard").await;
    let snapshot = snapshot(&program).await;
    let number = snapshot["number"].as_u64().unwrap();
    let mut slow = read_after(&program, &snapshot).await;
    // The slow reader takes nothing until more has been published than the buffers on the way hold.
    let mut quick = read_after(&program, &snapshot).await;
    read_up_to(&mut quick, 12, number + PRICES).await;

    let read = read_up_to(&mut slow, 12, number + PRICES).await;
    assert!(read < 12 * PRICES * 3 / 4, "{read} of {}", 12 * PRICES);
}
