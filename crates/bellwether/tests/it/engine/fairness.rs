//! That no reader of a shard delays another for long, and that nothing which falls due meanwhile is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether::{
    Application, Drain, HttpError, ServerEventsResponse, StreamDefaults, Timeouts, get,
};
use bellwether_testkit::{RawClient, TEST_TIMEOUT, eventually};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::subscriptions::{Path, SOON, closed_for, news, open, publish, serve_topic, subscribes};
use crate::support::serve;

#[tokio::test]
async fn a_topic_with_ceaseless_news_does_not_delay_the_reader_of_another() {
    let (topics, loud) = news();
    let quiet = topics.topic("quiet").unwrap();
    let topic = quiet.clone();
    let application = subscribes(Path::Engine.application(), &loud, |s| s).route((
        "/quiet",
        get(move || Ok::<_, HttpError>(topic.subscribe().open()?)),
    ));
    let (running, address) = serve(application).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut client = open(address, &running).await;
        crowd.push(tokio::spawn(async move {
            while client.next_event().await.is_ok() {}
        }));
    }
    let mut one = RawClient::connect_and_get(address, "/quiet").await;
    one.read_head().await;
    let goes_on = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&goes_on);
    // There is something new in the loud topic whenever anybody else gets a turn.
    let publisher = tokio::spawn(async move {
        while flag.load(Ordering::Relaxed) {
            publish(&loud, "x".repeat(100));
            tokio::task::yield_now().await;
        }
    });
    for number in 0..50 {
        publish(&quiet, number);
        assert_eq!(one.next_event().await.unwrap().data, number.to_string());
    }
    goes_on.store(false, Ordering::Relaxed);
    publisher.await.unwrap();
    crowd.into_iter().for_each(|reader| reader.abort());
}

#[tokio::test]
async fn a_reader_that_replays_a_long_history_does_not_delay_others() {
    let (_, news) = news();
    for number in 0..10_000 {
        publish(&news, format!("{number} {}", "x".repeat(50)));
    }
    let whole = news.clone();
    let application = subscribes(Path::Engine.application(), &news, |s| s).route((
        "/whole",
        get(move || Ok::<_, HttpError>(whole.subscribe().from_start().open()?)),
    ));
    let (running, address) = serve(application).await;
    let mut live = open(address, &running).await;
    let mut replays = RawClient::connect_and_get(address, "/whole").await;
    replays.read_head().await;
    publish(&news, "live");
    assert_eq!(live.next_event().await.unwrap().data, "live");
    for number in 0..10_000 {
        let event = replays.next_event().await.unwrap();
        assert_eq!(event.data.split(' ').next().unwrap(), number.to_string());
    }
    assert_eq!(replays.next_event().await.unwrap().data, "live");
}

#[tokio::test]
async fn a_keep_alive_comes_again_after_a_stall_however_long_that_may_last() {
    for stall in [Duration::from_secs(300), Duration::MAX] {
        let (_, news) = news();
        let defaults = StreamDefaults::new().keep_alive(Duration::from_millis(200));
        let application = Application::new()
            .streams(defaults)
            .timeouts(Timeouts::default().write_stall(stall));
        let (running, address) = serve(subscribes(application, &news, |s| s)).await;
        let mut client = open(address, &running).await;
        // More than the kernel takes for a client that does not read.
        for _ in 0..60 {
            publish(&news, "x".repeat(200_000));
            tokio::task::yield_now().await;
        }
        let mut events = 0;
        while events < 60 {
            let chunk = client.read_body_chunk().await.unwrap();
            events += chunk.windows(6).filter(|part| part == b"data: ").count();
        }
        // Twice, so that the first did not lie in the socket already.
        for _ in 0..2 {
            while client.read_body_chunk().await.unwrap() != ":\n" {}
        }
    }
}

#[tokio::test]
async fn a_request_sent_right_behind_a_stream_that_ends_is_answered() {
    for path in Path::BOTH {
        let (topics, news) = news();
        let application = subscribes(path.application(), &news, |s| s.subject("ann"))
            .route(("/plain", get(|| "plain")));
        let (running, address) = serve(application).await;
        let mut client = open(address, &running).await;
        for _ in 0..3 {
            publish(&news, "one");
            assert_eq!(client.next_event().await.unwrap().data, "one");
            topics.kick("ann");
            client.send("GET /plain HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let _ = client.read_to_end().await;
            assert_eq!(client.read_head().await.status, 200);
            assert_eq!(client.read_to_end().await.0, "plain");
            client.get("/", &[]).await;
            assert_eq!(client.read_head().await.status, 200);
        }
        drop(client);
        eventually("all streams to end", SOON, || running.streams().open == 0).await;
    }
}

#[tokio::test]
async fn publishes_that_come_during_a_round_leave_together() {
    const READERS: usize = 1_000;
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut clients = Vec::new();
    for _ in 0..READERS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request)
            .await
            .unwrap();
        clients.push(stream);
    }
    eventually("the readers", TEST_TIMEOUT, || {
        running.streams().engine == READERS as u64
    })
    .await;
    for number in 0..20 {
        publish(&news, format!("number {number};"));
        tokio::task::yield_now().await;
    }
    for client in &mut clients {
        let mut read = Vec::new();
        while !read.windows(10).any(|part| part == b"number 19;") {
            assert_ne!(client.read_buf(&mut read).await.unwrap(), 0);
        }
        let text = String::from_utf8(read).unwrap();
        let numbers: Vec<_> = text.matches("data: number ").collect();
        assert_eq!(numbers.len(), 20, "each once");
    }
}

#[tokio::test]
async fn durations_of_any_length_are_allowed() {
    let (_, news) = news();
    let max = Duration::MAX;
    let timeouts = Timeouts::default()
        .write_stall(max)
        .peer_silence(max)
        .http2_ping_interval(max)
        .http2_ping(max);
    let topic = news.clone();
    let handler = move || {
        let subscription = topic.subscribe().open()?;
        Ok::<_, HttpError>(ServerEventsResponse::new(subscription).keep_alive(max))
    };
    let application = Application::new()
        .streams(StreamDefaults::new().keep_alive(max))
        .timeouts(timeouts)
        .drain(Drain::default().deadline(max))
        .route(("/", get(handler)));
    let (running, address) = serve(application).await;
    let mut client = open(address, &running).await;
    publish(&news, "one");
    assert_eq!(client.next_event().await.unwrap().data, "one");
    let (h2, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    drop(h2);
    connection.await.unwrap().unwrap();
    drop(client);
    closed_for(&running, bellwether::CloseReason::ClientLeft).await;
    running.stop().await.unwrap();
}
