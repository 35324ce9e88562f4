//! What reaches the readers of a subscription, in which order, and what comes between.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bellwether::{Application, CloseReason, HttpError, StreamDefaults, Subscribe, Topics, get};
use bellwether_testkit::eventually;

use super::{Path, SOON, closed_for, news, open, publish, serve_topic, subscribes};
use crate::support::serve;

#[tokio::test]
async fn what_is_published_reaches_every_reader_once_and_in_order() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(open(address, &running).await);
        }
        for i in 0..300 {
            publish(&news, i);
            if i % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for client in &mut clients {
            for i in 0..300 {
                assert_eq!(client.next_event().await.unwrap().data, i.to_string());
            }
        }
        assert_eq!(running.streams().engine, path.taken(5), "{path:?}");
        drop(clients);
        closed_for(&running, CloseReason::ClientLeft).await;
        assert_eq!(news.subscriber_count(), 0);
    }
}

#[tokio::test]
async fn the_stream_begins_with_a_time_to_come_back_that_differs_from_client_to_client() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let mut retries = BTreeSet::new();
        for _ in 0..20 {
            let mut client = open(address, &running).await;
            let first = client.read_body_chunk().await.unwrap();
            let text = std::str::from_utf8(&first).unwrap();
            let (retry, opening) = text
                .strip_prefix("retry: ")
                .unwrap()
                .split_once('\n')
                .unwrap();
            assert!(opening.starts_with("event: bellwether.open\n"), "{text}");
            let retry: u64 = retry.parse().unwrap();
            assert!((2000..=4000).contains(&retry), "{retry}");
            retries.insert(retry);
        }
        assert!(retries.len() > 10, "{retries:?}");
    }
}

#[tokio::test]
async fn a_filter_holds_for_replayed_events_as_for_new_ones() {
    for path in Path::BOTH {
        let (_, news) = news();
        let even = |subscribe: Subscribe| {
            subscribe.from_start().filter(|frame| {
                let text = String::from_utf8_lossy(frame.as_bytes());
                let number = text.strip_prefix("data: ").unwrap().lines().next().unwrap();
                number.parse::<u64>().unwrap() % 2 == 0
            })
        };
        for i in 0..20 {
            publish(&news, i);
        }
        let (running, address) = serve(subscribes(path.application(), &news, even)).await;
        let mut client = open(address, &running).await;
        for i in 20..40 {
            publish(&news, i);
            tokio::task::yield_now().await;
        }
        for i in (0..40).step_by(2) {
            assert_eq!(client.next_event().await.unwrap().data, i.to_string());
        }
        assert_eq!(running.streams().engine, path.taken(1));
    }
}

#[tokio::test]
async fn several_topics_come_in_the_order_of_their_log() {
    for path in Path::BOTH {
        let topics = Topics::new();
        let (a, b, c) = (
            topics.topic("a").unwrap(),
            topics.topic("b").unwrap(),
            topics.topic("c").unwrap(),
        );
        let handler = move || Ok::<_, HttpError>(topics.subscribe(["a", "b"]).open()?);
        let (running, address) = serve(path.application().route(("/", get(handler)))).await;
        let mut clients = [open(address, &running).await, open(address, &running).await];
        for i in 0..30 {
            publish([&a, &b, &c][i % 3], i);
            if i % 4 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for client in &mut clients {
            for i in (0..30).filter(|i| i % 3 != 2) {
                assert_eq!(client.next_event().await.unwrap().data, i.to_string());
            }
        }
        let [first, second] = clients;
        first.finish().await;
        eventually("one to leave", SOON, || running.streams().open == 1).await;
        publish(&b, "still here");
        let mut second = second;
        assert_eq!(second.next_event().await.unwrap().data, "still here");
        second.finish().await;
        closed_for(&running, CloseReason::ClientLeft).await;
        assert_eq!((a.subscriber_count(), b.subscriber_count()), (0, 0));
    }
}

#[tokio::test]
async fn keep_alives_come_while_nothing_is_sent_and_traffic_puts_them_off() {
    for path in Path::BOTH {
        let (_, news) = news();
        let interval = Duration::from_millis(300);
        let defaults = path.defaults(StreamDefaults::new().keep_alive(interval));
        let application = subscribes(Application::new().streams(defaults), &news, |s| s);
        let (running, address) = serve(application).await;
        let mut client = open(address, &running).await;
        // The `retry` and the first id.
        client.read_body_chunk().await.unwrap();
        let began = Instant::now();
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n", "{path:?}");
        assert!(began.elapsed() <= interval + interval / 2);
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n");
        // Twice an interval of traffic without a single beat.
        for i in 0..40 {
            publish(&news, i);
            let chunk = client.read_body_chunk().await.unwrap();
            let expected = format!("data: {i}\nid: ");
            assert!(chunk.starts_with(expected.as_bytes()), "{chunk:?}");
            tokio::time::sleep(interval / 20).await;
        }
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n");
    }
}
