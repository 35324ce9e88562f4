//! The example that serves one feed as events and by long polling.

use bellwether_testkit::RawClient;
use serde_json::Value;

use crate::started;

async fn poll(client: &mut RawClient, query: &str) -> Option<Vec<Value>> {
    client.get(&format!("/poll?{query}"), &[]).await;
    let head = client.read_head().await;
    if head.status == 204 {
        return None;
    }
    assert_eq!(
        (head.status, head.header("cache-control")),
        (200, Some("no-store"))
    );
    let (body, _) = client.read_to_end().await;
    Some(serde_json::from_slice(&body).expect("a list"))
}

#[tokio::test]
async fn a_poll_answers_with_what_is_newer_and_else_waits_for_it() {
    let program = started("long_polling").await;
    let mut client = RawClient::connect(program.addr()).await;
    let first = poll(&mut client, "after=0")
        .await
        .expect("the first reading");
    let number = first[first.len() - 1][0].as_u64().expect("a number");
    assert_eq!(first[0][0], 1);

    // Nothing is newer yet, so this one waits.
    let next = poll(&mut client, &format!("after={number}"))
        .await
        .expect("the next reading");
    assert_eq!(next[0][0], number + 1);
}

#[tokio::test]
async fn a_poll_that_waits_for_nothing_is_a_204() {
    let program = started("long_polling").await;
    let mut client = RawClient::connect(program.addr()).await;
    assert_eq!(poll(&mut client, "after=1000000&wait=0").await, None);
}

#[tokio::test]
async fn events_and_polls_are_one_feed() {
    let program = started("long_polling").await;
    let mut poller = RawClient::connect(program.addr()).await;
    let polled = poll(&mut poller, "after=1")
        .await
        .expect("the second reading");
    let mut client = RawClient::connect(program.addr()).await;
    client.get("/events", &[("last-event-id", "1")]).await;
    assert_eq!(client.read_head().await.status, 200);
    let event = client.next_event().await.expect("an event");
    assert_eq!(event.last_event_id, "2");
    let message = serde_json::from_str::<Value>(&event.data).expect("JSON")["message"].clone();
    assert_eq!(message, polled[0][1]);
}
