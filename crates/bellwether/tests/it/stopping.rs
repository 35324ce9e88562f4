//! The stop: who is told what, in which order, and that it always comes to an end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use bellwether::{
    Application, BoxError, CloseReason, Drain, OnStop, ServerEventsResponse, ServerSentEvent,
    Stream, StreamedContent, get, is_stopping, stopping, stream,
};
use bellwether_testkit::{BodyEnd, RawClient};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::{closing_retry, serve};

const SOON: Duration = bellwether_testkit::TEST_TIMEOUT;

/// Says something every few milliseconds and never asks.
fn chatter() -> impl Stream<Item = ServerSentEvent> {
    stream!(for i in 0u64.. {
        yield ServerSentEvent::text("x".repeat(500)).id(i);
        sleep(Duration::from_millis(7)).await;
    })
}

fn drain(window: u64, deadline: u64) -> Drain {
    Drain::default()
        .window(Duration::from_millis(window))
        .deadline(Duration::from_millis(deadline))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_every_stream_on_an_event_boundary_and_tells_each_its_own_time_to_come_back() {
    const STREAMS: usize = 200;
    let application = Application::new()
        .drain(drain(10_000, 15_000))
        .route(("/", get(chatter)));
    let (running, address) = serve(application).await;
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        let mut client = RawClient::connect_and_get(address, "/").await;
        client.read_head().await;
        client.next_event().await.unwrap();
        clients.push(client);
    }
    let begin = Instant::now();
    let stop = tokio::spawn(running.stop());
    let ends: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let (body, end) = client.read_to_end().await;
                assert_eq!(end, BodyEnd::Clean);
                (closing_retry(&body), begin.elapsed())
            })
        })
        .collect();
    let mut retries = BTreeSet::new();
    let mut last = Duration::ZERO;
    for end in ends {
        let (retry, at) = end.await.unwrap();
        assert!((1_000..10_000).contains(&retry), "{retry}");
        retries.insert(retry);
        last = last.max(at);
    }
    stop.await.unwrap().unwrap();
    assert!(
        retries.len() > STREAMS / 2,
        "spread: {} different times",
        retries.len()
    );
    // 200 ends a second: the streams spread over a second of the window, and not all at once.
    assert!(last > Duration::from_millis(500), "{last:?}");
}

#[tokio::test]
async fn one_open_stream_does_not_hold_up_the_stop() {
    let application = Application::new()
        .drain(drain(3_600_000, 7_200_000))
        .route(("/", get(chatter)));
    let (running, address) = serve(application).await;
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    client.next_event().await.unwrap();
    let within = tokio::time::timeout(SOON, running.stop()).await;
    within
        .expect("well before the window of an hour is over")
        .unwrap();
    assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
}

#[tokio::test]
async fn without_streams_the_stop_is_at_once() {
    let (running, address) = serve(Application::new().route(("/", get(chatter)))).await;
    // A connection that is kept alive is no reason to wait.
    let mut idle = RawClient::connect_and_get(address, "/missing").await;
    idle.read_head().await;
    tokio::time::timeout(SOON, running.stop())
        .await
        .expect("no wait")
        .unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_generator_that_asks_whether_to_stop_ends_by_itself_with_its_last_words() {
    let asks = || {
        stream!(loop {
            if is_stopping() {
                yield ServerSentEvent::text("last words");
                break;
            }
            yield ServerSentEvent::text("one");
            sleep(Duration::from_millis(300)).await;
        })
    };
    let awaits = || {
        stream!(
            yield ServerSentEvent::text("one");
            stopping().await;
            sleep(Duration::from_millis(300)).await;
            yield ServerSentEvent::text("last words");
        )
    };
    let application = Application::new()
        .route(("/asks", get(asks)))
        .route(("/awaits", get(awaits)));
    let (running, address) = serve(application).await;
    let mut clients = Vec::new();
    for path in ["/asks", "/awaits"] {
        let mut client = RawClient::connect_and_get(address, path).await;
        client.read_head().await;
        assert_eq!(client.next_event().await.unwrap().data, "one");
        clients.push(client);
    }
    let stop = tokio::spawn(running.stop());
    for mut client in clients {
        let (body, end) = client.read_to_end().await;
        assert_eq!(end, BodyEnd::Clean);
        closing_retry(&body);
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("data: last words\n\nretry: "), "{text}");
    }
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_must_finish_is_let_finish() {
    let answer = || {
        let words = stream!(for word in ["one", "two", "three"] {
            yield word;
            sleep(Duration::from_millis(200)).await;
        });
        ServerEventsResponse::new(words)
            .on_stop(OnStop::LetFinish)
            .finish()
    };
    let (running, address) = serve(Application::new().route(("/", get(answer)))).await;
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    assert_eq!(client.next_event().await.unwrap().data, "one");
    let stop = tokio::spawn(running.stop());
    assert_eq!(client.next_event().await.unwrap().data, "two");
    assert_eq!(client.next_event().await.unwrap().data, "three");
    assert_eq!(
        client.next_event().await.unwrap().event,
        "bellwether.finished"
    );
    assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_asks_but_stays_is_ended_when_the_window_closes() {
    let stays = || {
        stream!(loop {
            let _ = is_stopping();
            yield ServerSentEvent::text("one");
            sleep(Duration::from_millis(10)).await;
        })
    };
    let application = Application::new()
        .drain(drain(400, 10_000))
        .route(("/", get(stays)));
    let (running, address) = serve(application).await;
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    client.next_event().await.unwrap();
    let stop = tokio::spawn(running.stop());
    let (body, end) = client.read_to_end().await;
    assert_eq!(end, BodyEnd::Clean);
    closing_retry(&body);
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_ignores_the_stop_is_cut_at_the_deadline() {
    let endless = || {
        let bytes = stream!(loop {
            yield Ok::<_, BoxError>(Bytes::from_static(b"more\n"));
            sleep(Duration::from_millis(10)).await;
        });
        StreamedContent::new("text/plain", bytes)
    };
    let application = Application::new()
        .drain(drain(50, 300))
        .route(("/", get(endless)));
    let (running, address) = serve(application).await;
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    client.read_body_chunk().await.unwrap();
    tokio::time::timeout(SOON, running.stop())
        .await
        .expect("cut")
        .unwrap();
    assert_ne!(client.read_to_end().await.1, BodyEnd::Clean);
}

#[tokio::test]
async fn readiness_is_false_first_and_accepting_stops_when_the_notice_is_over() {
    let drain = Drain::default().notice(Duration::from_millis(500));
    let application = Application::new()
        .drain(drain)
        .health("/ready")
        .route(("/", get(chatter)));
    let (running, address) = serve(application).await;
    let probe = || async move {
        let mut probe = RawClient::connect_and_get(address, "/ready").await;
        let head = probe.read_head().await;
        (head.status, probe.read_to_end().await.0)
    };
    assert_eq!(probe().await, (200, Bytes::from_static(b"ready")));
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    let stop = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    assert_eq!(probe().await, (503, Bytes::from_static(b"stopping")));
    client
        .next_event()
        .await
        .expect("streams go on during the notice");
    stop.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn hooks_run_before_the_first_connection_and_after_the_last_stream() {
    let (started, stopped) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (on_start, on_stop) = (Arc::clone(&started), Arc::clone(&stopped));
    let application = Application::new()
        .on_start(move || async move {
            on_start.store(true, Ordering::SeqCst);
            Ok::<(), BoxError>(())
        })
        .on_stop(move || async move {
            assert!(is_stopping());
            on_stop.store(true, Ordering::SeqCst);
            Ok::<(), BoxError>(())
        })
        .route(("/", get(chatter)));
    let (running, _) = serve(application).await;
    assert!(started.load(Ordering::SeqCst) && !stopped.load(Ordering::SeqCst));
    running.stop().await.unwrap();
    assert!(stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_hook_that_fails_is_told_and_keeps_no_other_from_running() {
    let ran = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    let application = Application::new()
        .on_stop(|| async { Err("the cache could not be written") })
        .on_stop(move || async move {
            seen.store(true, Ordering::SeqCst);
            Ok::<(), BoxError>(())
        });
    let error = serve(application).await.0.stop().await.unwrap_err();
    assert!(error.is_hook());
    assert!(
        format!("{error:?}").ends_with("the cache could not be written"),
        "{error:?}"
    );
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn streams_that_a_stop_has_ended_are_counted_as_such() {
    let (running, address) = serve(Application::new().route(("/", get(chatter)))).await;
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    client.next_event().await.unwrap();
    let streams = running.stop().await.unwrap();
    assert_eq!(streams.closed(CloseReason::Stopping), 1);
    assert_eq!(streams.open, 0);
}
