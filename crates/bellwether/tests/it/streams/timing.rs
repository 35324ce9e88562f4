//! What is sent when: the retry first, events together if they are ready together, keep-alives in silence.

use std::time::Duration;

use bellwether::{Json, ServerEventsResponse, ServerSentEvent, event_name, stream};
use tokio::time::{Instant, sleep};

use super::{app, ask, frame, one, silent, whole};

#[tokio::test]
async fn the_initial_retry_comes_first() {
    let router = app!(|| ServerEventsResponse::new(one()).retry(Duration::from_millis(2500)));
    assert_eq!(
        whole(ask(router).await.into_body()).await,
        "retry: 2500\ndata: one\n\n"
    );
}

#[tokio::test]
async fn events_that_are_ready_together_leave_in_one_frame_of_bounded_size() {
    let many = || {
        stream!(for i in 0..2_000u32 {
            yield Json(i);
        })
    };
    let mut body = ask(app!(many)).await.into_body();
    let mut frames = Vec::new();
    while let Some(frame) = frame(&mut body).await {
        frames.push(frame.unwrap());
    }
    assert!(frames.len() <= 3, "{}", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < 17 * 1024));
    let expected: String = (0..2_000).map(|i| format!("data: {i}\n\n")).collect();
    assert_eq!(frames.concat(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_sends_a_comment_line_every_fifteen_seconds_by_default() {
    let mut body = ask(app!(silent)).await.into_body();
    let opened = Instant::now();
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), ":\n");
    let first = opened.elapsed();
    assert!(
        first > Duration::from_secs(7) && first <= Duration::from_secs(15),
        "{first:?}"
    );
    for _ in 0..3 {
        let last = Instant::now();
        assert_eq!(frame(&mut body).await.unwrap().unwrap(), ":\n");
        assert_eq!(last.elapsed().as_secs(), 15);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_keep_alives_of_streams_opened_together_are_spread() {
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let mut body = ask(app!(silent)).await.into_body();
        let opened = Instant::now();
        frame(&mut body).await.unwrap().unwrap();
        firsts.insert(opened.elapsed().as_millis() / 10);
    }
    assert!(firsts.len() > 8, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn traffic_puts_the_keep_alive_off() {
    let ticks = || {
        stream!(for _ in 0..20 {
            sleep(Duration::from_secs(7)).await;
            yield ServerSentEvent::text("tick");
        })
    };
    let interval = Duration::from_secs(10);
    let router = app!(move || ServerEventsResponse::new(ticks()).keep_alive(interval));
    let mut body = ask(router).await.into_body();
    let mut seen = Vec::new();
    while let Some(Ok(frame)) = frame(&mut body).await {
        seen.push(frame);
    }
    let keep_alives = seen.iter().filter(|frame| *frame == ":\n").count();
    assert_eq!(seen.len() - keep_alives, 20);
    // Only the first one, whose phase is random, may come before the first tick.
    assert!(keep_alives <= 1, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_can_be_an_event_or_off() {
    let heartbeat = ServerSentEvent::text("").event(event_name!("heartbeat"));
    let router = app!(move || ServerEventsResponse::new(silent())
        .keep_alive_event(Duration::from_secs(5), &heartbeat));
    let mut body = ask(router).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "event: heartbeat\ndata: \n\n"
    );

    let router = app!(|| ServerEventsResponse::new(silent()).no_keep_alive());
    let mut body = ask(router).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "data: at last\n\n"
    );
}
