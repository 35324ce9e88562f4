//! Streams that say that they are finished, and clients that come back all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use bellwether::{ServerEventsResponse, stream};

use super::{app, ask, ask_with, frame, one, text};

#[tokio::test]
async fn a_finished_stream_says_so_and_the_next_reconnect_gets_204() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let router = app!(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        ServerEventsResponse::new(one()).finish()
    });
    let streamed = text(ask(router.clone()).await.into_body()).await;
    let told = streamed.strip_prefix("data: one\n\nevent: bellwether.finished\nretry: ");
    let (retry, rest) = told
        .expect("the last event is named")
        .split_once('\n')
        .unwrap();
    assert_eq!(rest, "data: {}\nid: bellwether.finished\n\n");
    // Long, for clients that take the 204 for a fault.
    assert!(
        (15_000..=30_000).contains(&retry.parse::<u64>().unwrap()),
        "{retry}"
    );

    let again = ask_with(router.clone(), &[("last-event-id", "bellwether.finished")]).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    let other = ask_with(router, &[("last-event-id", "7")]).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_generator_is_not_run_for_a_client_that_was_told_that_it_is_finished() {
    fn fails() -> &'static str {
        panic!("the generator is not run")
    }
    let router = app!(|| ServerEventsResponse::new(stream!(
        yield fails();
    ))
    .finish());
    let again = ask_with(router, &[("last-event-id", "bellwether.finished")]).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn only_a_stream_that_finishes_answers_204_and_only_after_the_handlers_own_word() {
    let headers = [("last-event-id", "bellwether.finished")];
    let plain = ask_with(app!(one), &headers).await;
    assert_eq!(text(plain.into_body()).await, "data: one\n\n");

    let locked =
        app!(|| -> Result<ServerEventsResponse, StatusCode> { Err(StatusCode::UNAUTHORIZED) });
    let answer = ask_with(locked, &headers).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);

    // The same holds for what refuses before the handler: an extractor, and a layer around it.
    let finishes = || ServerEventsResponse::new(one()).finish();
    let behind_extractor = app!(move |_: Token| finishes());
    let answer = ask_with(behind_extractor, &headers).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let layer = from_fn(|_: axum::extract::Request, _: Next| async { StatusCode::FORBIDDEN });
    let behind_layer = app!(finishes).layer(layer);
    let answer = ask_with(behind_layer, &headers).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

/// An extractor that no request satisfies.
struct Token;

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Err(StatusCode::UNAUTHORIZED)
    }
}

#[tokio::test]
async fn a_stream_that_fails_does_not_say_that_it_is_finished() {
    let router = app!(|| ServerEventsResponse::new(stream!(
        yield Ok("one");
        yield Err(std::io::Error::other("broken"));
    ))
    .finish());
    let told = frame(&mut ask(router).await.into_body())
        .await
        .unwrap()
        .unwrap();
    assert!(!told.contains("bellwether.finished"), "{told}");
}
