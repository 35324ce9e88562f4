//! How subscriptions end: clients that leave in every way, and a stop; the same on both paths.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwether::{
    BoxError, CloseReason, Drain, HttpError, OnStop, ServerEventsResponse, ServerSentEvent,
    Subscription, get,
};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use super::subscriptions::{Path, SOON, closed_for, news, open, publish, serve_topic, subscribes};
use super::support::{closing_retry, serve};

#[tokio::test]
async fn clients_that_leave_a_subscription_are_noticed_at_once_in_whatever_way_they_go() {
    for path in Path::BOTH {
        for way in 0..5 {
            let (_, news) = news();
            let (running, address) = serve_topic(path, &news).await;
            let mut client = open(address, &running).await;
            publish(&news, "one");
            assert_eq!(client.next_event().await.unwrap().data, "one");
            let mut kept = None;
            match way {
                0 => client.finish().await,
                1 => client.reset(),
                2 => {
                    client.half_close().await;
                    kept = Some(client);
                }
                3 => {
                    client.send("x").await;
                    client.finish().await;
                }
                _ => {
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                    client.finish().await;
                }
            }
            closed_for(&running, CloseReason::ClientLeft).await;
            assert_eq!(news.subscriber_count(), 0, "{path:?} {way}");
            drop(kept);
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_is_sent_away() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let mut client = open(address, &running).await;
        client.send("x".repeat(1000)).await;
        publish(&news, "still here");
        assert_eq!(client.next_event().await.unwrap().data, "still here");
        client.send("x".repeat(40_000)).await;
        closed_for(&running, CloseReason::ClientLeft).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_way_the_clients_of_a_busy_topic_leave_every_count_returns_to_zero() {
    for path in Path::BOTH {
        let (topics, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let publisher = tokio::spawn({
            let news = news.clone();
            async move {
                for i in 0.. {
                    publish(&news, i);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        for batch in 0..8 {
            let clients: Vec<_> = (0..100)
                .map(|i| tokio::spawn(leave(address, batch * 100 + i)))
                .collect();
            for client in clients {
                client.await.unwrap();
            }
        }
        publisher.abort();
        eventually("every stream to close", SOON, || {
            running.streams().open == 0
        })
        .await;
        let streams = running.streams();
        let closed: u64 = CloseReason::ALL.iter().map(|r| streams.closed(*r)).sum();
        assert_eq!(closed, streams.opened);
        assert_eq!(topics.subscriber_count(), 0);
        assert!(streams.opened > 400, "{streams:?}");
        running.stop().await.unwrap();
    }
}

async fn leave(address: SocketAddr, way: usize) {
    let mut client = RawClient::connect_and_get(address, "/").await;
    match way % 8 {
        0 => return client.finish().await,
        1 => return client.reset(),
        _ => drop(client.read_head().await),
    }
    match way % 8 {
        2 => client.finish().await,
        3 => client.reset(),
        4 => {
            client.send("x").await;
            client.finish().await;
        }
        5 => {
            client.half_close().await;
            client.closed().await;
        }
        6 => {
            client.next_event().await.unwrap();
            client.reset();
        }
        _ => {
            let mut last = None;
            for _ in 0..20 {
                let number: u64 = client.next_event().await.unwrap().data.parse().unwrap();
                assert!(last.is_none_or(|last| number == last + 1));
                last = Some(number);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_readers_that_come_and_go_get_every_event_once() {
    const READERS: usize = 500;
    const EVENTS: u64 = 400;
    for path in Path::BOTH {
        let (topics, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let first = news.publish(&ServerSentEvent::text("0")).unwrap();
        let first: Arc<str> = first.id().unwrap().as_str().into();
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let first = Arc::clone(&first);
                tokio::spawn(async move {
                    let mut id = first.to_string();
                    let mut next = 1;
                    while next < EVENTS {
                        let mut client = RawClient::connect(address).await;
                        client.get("/", &[("last-event-id", &id)]).await;
                        client.read_head().await;
                        // Each leaves after a number of events of its own.
                        for _ in 0..10 + (reader * 7 + next as usize) % 60 {
                            if next == EVENTS {
                                break;
                            }
                            let event = client.next_event().await.unwrap();
                            assert_eq!(event.data, next.to_string());
                            id = event.last_event_id.to_string();
                            next += 1;
                        }
                    }
                })
            })
            .collect();
        for i in 1..EVENTS {
            publish(&news, i);
            if i % 4 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        for reader in readers {
            reader.await.unwrap();
        }
        closed_for(&running, CloseReason::ClientLeft).await;
        assert_eq!(topics.subscriber_count(), 0);
        let streams = running.streams();
        assert_eq!(streams.engine, path.taken(streams.opened));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_five_hundred_subscriptions_on_event_boundaries_each_with_its_own_retry() {
    const READERS: usize = 500;
    for path in Path::BOTH {
        let (topics, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let publisher = tokio::spawn(async move {
            for i in 0.. {
                publish(&news, format!("{i} {}", "x".repeat(200)));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut clients = Vec::new();
        for _ in 0..READERS {
            clients.push(open(address, &running).await);
        }
        let ends: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                tokio::spawn(async move {
                    let (body, end) = client.read_to_end().await;
                    assert_eq!(end, BodyEnd::Clean);
                    assert_eq!(client.closed().await, BodyEnd::Cut, "a FIN, no reset");
                    closing_retry(&body)
                })
            })
            .collect();
        let streams = running.stop().await.unwrap();
        let mut retries = BTreeSet::new();
        for end in ends {
            retries.insert(end.await.unwrap());
        }
        assert!(retries.len() > READERS / 2, "{path:?}: {}", retries.len());
        assert_eq!(streams.closed(CloseReason::Stopping), READERS as u64);
        assert_eq!(
            (streams.open, streams.engine),
            (0, path.taken(READERS as u64))
        );
        assert_eq!(topics.subscriber_count(), 0);
        publisher.abort();
    }
}

#[tokio::test]
async fn the_closing_retry_waits_for_a_client_that_reads_late() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let mut client = open(address, &running).await;
        eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
        for i in 0..200 {
            publish(&news, format!("{i} {}", "x".repeat(32 * 1024)));
            tokio::task::yield_now().await;
        }
        let stop = tokio::spawn(running.stop());
        let mut numbers = 0;
        loop {
            match client.next_event().await {
                Ok(event) => {
                    assert_eq!(event.data.split(' ').next().unwrap(), numbers.to_string());
                    numbers += 1;
                }
                Err(end) => break assert_eq!(end, BodyEnd::Clean),
            }
        }
        assert!(numbers > 0);
        drop(client);
        let streams = stop.await.unwrap().unwrap();
        assert_eq!(streams.closed(CloseReason::Stopping), 1);
    }
}

#[tokio::test]
async fn a_stream_that_must_run_to_its_end_stays_until_the_window_closes() {
    for path in Path::BOTH {
        let (_, news) = news();
        let topic = news.clone();
        let handler = move || {
            let subscription: Subscription = topic.subscribe().open()?;
            Ok::<_, HttpError>(ServerEventsResponse::new(subscription).on_stop(OnStop::LetFinish))
        };
        let window = Duration::from_millis(400);
        let drain = Drain::default().window(window);
        let (running, address) =
            serve(path.application().drain(drain).route(("/", get(handler)))).await;
        let mut client = open(address, &running).await;
        let began = Instant::now();
        let stop = tokio::spawn(running.stop());
        tokio::time::sleep(window / 4).await;
        publish(&news, "still here");
        assert_eq!(client.next_event().await.unwrap().data, "still here");
        assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
        assert!(began.elapsed() >= window);
        drop(client);
        assert_eq!(stop.await.unwrap().unwrap().engine, path.taken(1));
    }
}

#[tokio::test]
async fn a_client_that_does_not_take_its_closing_retry_is_cut_at_the_deadline() {
    for path in Path::BOTH {
        let (_, news) = news();
        let drain = Drain::default()
            .window(Duration::ZERO)
            .deadline(Duration::from_millis(300));
        let application = subscribes(path.application().drain(drain), &news, |s| s);
        let (running, address) = serve(application).await;
        let stuck = open(address, &running).await;
        eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
        for _ in 0..200 {
            publish(&news, "x".repeat(32 * 1024));
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        let streams = running.stop().await.unwrap();
        assert!(began.elapsed() < SOON);
        assert_eq!(
            (streams.open, streams.closed(CloseReason::Stopping)),
            (0, 1)
        );
        drop(stuck);
    }
}

#[tokio::test]
async fn one_open_subscription_does_not_hold_up_the_stop_and_ends_before_the_hooks() {
    for path in Path::BOTH {
        let (topics, news) = news();
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let found = Arc::clone(&left);
        let hour = Duration::from_secs(3600);
        let drain = Drain::default().window(hour).deadline(2 * hour);
        let application = path.application().drain(drain).on_stop(move || async move {
            found.store(topics.subscriber_count(), Ordering::SeqCst);
            Ok::<(), BoxError>(())
        });
        let (running, address) = serve(subscribes(application, &news, |s| s)).await;
        let mut client = open(address, &running).await;
        publish(&news, "one");
        assert_eq!(client.next_event().await.unwrap().data, "one");
        let stop = tokio::spawn(running.stop());
        assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
        drop(client);
        let stopped = tokio::time::timeout(SOON, stop).await;
        let streams = stopped.expect("no wait for the window").unwrap().unwrap();
        assert_eq!(streams.closed(CloseReason::Stopping), 1);
        assert_eq!(streams.engine, path.taken(1));
        assert_eq!(left.load(Ordering::SeqCst), 0, "{path:?}");
    }
}

#[tokio::test]
async fn subscriptions_go_on_while_the_server_is_merely_not_ready() {
    for path in Path::BOTH {
        let (_, news) = news();
        let drain = Drain::default().notice(Duration::from_millis(500));
        let application = path.application().drain(drain).health("/ready");
        let (running, address) = serve(subscribes(application, &news, |s| s)).await;
        let mut client = open(address, &running).await;
        let stop = tokio::spawn(running.stop());
        tokio::task::yield_now().await;
        let mut probe = RawClient::connect_and_get(address, "/ready").await;
        assert_eq!(probe.read_head().await.status, 503);
        publish(&news, "still here");
        assert_eq!(client.next_event().await.unwrap().data, "still here");
        assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
        drop(client);
        stop.await.unwrap().unwrap();
    }
}
