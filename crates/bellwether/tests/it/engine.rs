//! The delivery engine by itself: which streams it takes, and that nobody can tell.

use std::time::Duration;

use crate::subscriptions::{Path, news, open, publish, serve_topic};

#[tokio::test]
async fn the_engine_takes_subscriptions_on_plain_http_1_1() {
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut client = open(address, &running).await;
    publish(&news, "hello");
    assert_eq!(client.next_event().await.unwrap().data, "hello");
    assert_eq!(running.streams().engine, 1);
    let _ = Duration::ZERO;
}
