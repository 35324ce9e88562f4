//! Readers that are too slow: each gets a gap, skips ahead or is cut, as its policy says, and no other reader is
//! delayed.

use std::time::Duration;

use bellwether::{CloseReason, Policy, Retention, Subscribe, Timeouts, Topic, Topics};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use super::{Path, SOON, closed_for, news, open, publish, subscribes};
use crate::support::serve;

/// Publishes until a reader that takes nothing is behind what its socket and the log hold.
async fn overflow(news: &Topic) {
    for i in 0..600 {
        publish(news, format!("{i} {}", "x".repeat(32 * 1024)));
        if i % 8 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn small_log() -> (Topics, Topic) {
    let retention = Retention::default().max_events(10);
    let topics = Topics::builder().retention(retention).build();
    let news = topics.topic("news").unwrap();
    (topics, news)
}

#[tokio::test]
async fn a_reader_that_the_log_has_passed_is_told_when_to_come_back_and_does_so_with_a_gap() {
    for path in Path::BOTH {
        let (_, news) = small_log();
        let set = |subscribe: Subscribe| {
            subscribe.policy(Policy::disconnect().retry(Duration::from_millis(1234)))
        };
        let (running, address) = serve(subscribes(path.application(), &news, set)).await;
        let mut client = open(address, &running).await;
        eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
        overflow(&news).await;
        let mut body = Vec::new();
        let end = loop {
            match client.read_body_chunk().await {
                Ok(chunk) => body.extend_from_slice(&chunk),
                Err(end) => break end,
            }
        };
        assert_eq!(end, BodyEnd::Clean, "{path:?}");
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.ends_with("\n\nretry: 1234\n"),
            "{path:?}: {:?}",
            &text[text.len() - 60..]
        );
        closed_for(&running, CloseReason::TooSlow).await;
        let id = text
            .rsplit("\nid: ")
            .next()
            .unwrap()
            .lines()
            .next()
            .unwrap();
        let mut client = RawClient::connect(address).await;
        client.get("/", &[("last-event-id", id)]).await;
        client.read_head().await;
        let gap = client.next_event().await.unwrap();
        assert_eq!(gap.event, "bellwether.gap");
        assert!(gap.data.contains("\"trimmed\""), "{}", gap.data);
    }
}

#[tokio::test]
async fn a_reader_that_may_skip_is_told_what_it_skipped_and_goes_on() {
    for path in Path::BOTH {
        let (_, news) = small_log();
        let set = |subscribe: Subscribe| subscribe.policy(Policy::skip_to_latest());
        let (running, address) = serve(subscribes(path.application(), &news, set)).await;
        let mut client = open(address, &running).await;
        eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
        overflow(&news).await;
        let mut next = 0;
        let lost = loop {
            let event = client.next_event().await.unwrap();
            if event.event == "bellwether.gap" {
                break event.data;
            }
            assert_eq!(event.data.split(' ').next().unwrap(), next.to_string());
            next += 1;
        };
        assert!(
            lost.contains(&format!("\"lost\":{}", 600 - next)),
            "{path:?} {next}: {lost}"
        );
        publish(&news, "on");
        assert_eq!(client.next_event().await.unwrap().data, "on");
        assert_eq!(running.streams().open, 1);
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_as_too_slow_and_delays_nobody() {
    for path in Path::BOTH {
        let (_, news) = news();
        let timeouts = Timeouts::default().write_stall(Duration::from_millis(400));
        let application = subscribes(path.application().timeouts(timeouts), &news, |s| s);
        let (running, address) = serve(application).await;
        let stuck = open(address, &running).await;
        let mut good = open(address, &running).await;
        let publisher = tokio::spawn(async move {
            for i in 0.. {
                publish(&news, format!("{i} {}", "x".repeat(32 * 1024)));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut next = 0;
        while running.streams().closed(CloseReason::TooSlow) == 0 {
            let event = good.next_event().await.unwrap();
            assert_eq!(event.data.split(' ').next().unwrap(), next.to_string());
            next += 1;
            assert!(next < 50_000, "never cut");
        }
        assert_eq!(running.streams().open, 1, "{path:?}");
        publisher.abort();
        drop(stuck);
    }
}
