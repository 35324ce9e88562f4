//! A panic ends what it is part of, and nothing else.

use axum::body::Body;
use axum::response::IntoResponse;
use bellwether::{CloseReason, Limits, ServerSentEvent, Stream, get, stream};
use bellwether_testkit::{BodyEnd, RawClient, TEST_TIMEOUT, eventually, within};

use super::{application, expect_numbers};
use crate::support::serve;

fn panics() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("one");
        tokio::task::yield_now().await;
        if !std::thread::panicking() {
            panic!("generator");
        }
    )
}

async fn panics_at_once() -> &'static str {
    panic!("handler")
}

/// Panics inside hyper's poll of the body, where no layer of ours is.
async fn panics_in_the_body() -> impl IntoResponse {
    Body::from_stream(stream!(
        yield Ok::<_, std::io::Error>("one");
        tokio::task::yield_now().await;
        if !std::thread::panicking() {
            panic!("body");
        }
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_leaves_other_streams_exact_and_its_place_free() {
    let application = application()
        .limits(Limits::default().max_connections(6))
        .route(("/handler", get(panics_at_once)))
        .route(("/generator", get(panics)))
        .route(("/body", axum::routing::get(panics_in_the_body)));
    let (running, address) = serve(application).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut client = RawClient::connect_and_get(address, "/count").await;
        client.read_head().await;
        others.push((client, 0));
    }
    for path in ["/handler", "/generator", "/body"] {
        // There is one place: each is served only if the one before gave it back.
        let answered = async {
            loop {
                let mut client = RawClient::connect_and_get(address, path).await;
                let head = client.read_head().await;
                let (body, end) = client.read_to_end().await;
                // A refusal says when to come back, and no more.
                if !body.starts_with(b"retry: ") || end != BodyEnd::Clean {
                    break (head.status, body, end);
                }
            }
        };
        let (status, body, end) = within(TEST_TIMEOUT, answered).await.unwrap();
        if path == "/handler" {
            assert_eq!(status, 500);
        } else {
            assert_eq!((status, end), (200, BodyEnd::Cut), "{path}");
            assert!(body.windows(3).any(|window| window == b"one"));
        }
        for (client, next) in &mut others {
            expect_numbers(client, next, 20).await;
        }
    }
    eventually("the panicked stream is accounted for", TEST_TIMEOUT, || {
        running.streams().closed(CloseReason::Error) == 1
    })
    .await;
}
