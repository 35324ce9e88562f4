//! A real browser over restarts of a server: when it comes back, and what it has missed.

use std::time::Duration;

use bellwether::{
    Application, Drain, HttpError, LastEventId, ServerEventsResponse, ServerSentEvent, Topic,
    Topics, get, stream,
};
use bellwether_testkit::Tab;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::browser::{Tap, browser, number, page, serve, serve_at};

/// Counts on from where the client was, faster than a server can be restarted.
fn count(last: LastEventId) -> ServerEventsResponse {
    let mut next = last.parse::<u64>().map_or(1, |seen| seen + 1);
    let events = stream!(loop {
        yield ServerSentEvent::json(next).id(next);
        next += 1;
        sleep(Duration::from_millis(5)).await;
    });
    ServerEventsResponse::new(events).retry(Duration::from_millis(10))
}

fn counting() -> Application {
    Application::new().route(("/events", get(count)))
}

/// Waits for more events, and checks that they are the numbers from 1 on, each once.
async fn wait_for_more(tab: &Tab) -> usize {
    let before = number(tab, "w.seen.length").await;
    tab.wait_until(&format!("w.seen.length >= {before} + 20"))
        .await;
    let Value::Array(seen) = tab.eval("w.seen").await else {
        panic!("w.seen is no list");
    };
    for (event, i) in seen.iter().zip(1u64..) {
        let text = i.to_string();
        assert_eq!(event, &json!(["message", text, text]));
    }
    seen.len()
}

#[tokio::test]
async fn a_page_goes_on_after_restarts_without_a_hole_and_without_a_repeat() {
    let Some(browser) = browser().await else {
        return;
    };
    // What is cut at once has no time for an end in good order.
    let cut = Drain::default().deadline(Duration::ZERO);
    let (running, address) = serve(counting()).await;
    let tab = page(&browser, &address).await;
    tab.eval("globalThis.w = watch('/events'); null").await;
    wait_for_more(&tab).await;

    running.stop().await.expect("a stop in good order");
    let (running, _) = serve_at(&address, counting().drain(cut)).await;
    tab.wait_until("w.log.includes('error 0') && w.source.readyState == 1")
        .await;
    wait_for_more(&tab).await;

    running.stop().await.expect("a stop that cuts");
    let (_running, _) = serve_at(&address, counting()).await;
    tab.wait_until("w.log.filter((what) => what == 'open').length == 3")
        .await;
    assert!(wait_for_more(&tab).await >= 60);
    assert_eq!(
        tab.eval("w.log.filter((what) => what == 'error 2')").await,
        json!([])
    );
    browser.quit().await;
}

#[tokio::test]
async fn a_browser_comes_back_no_sooner_than_a_stopping_server_has_told_it() {
    // The browser's clock starts a moment before the page learns that the stream has ended.
    const SLACK_MS: f64 = 50.0;

    let Some(browser) = browser().await else {
        return;
    };
    // Its streams ask the browser to come back at once, and only the end of the stream sets another delay.
    let (running, server) = serve(counting()).await;
    let tap = Tap::before(server.clone()).await;
    let tab = page(&browser, &tap.address).await;
    tab.eval("globalThis.w = watch('/events'); null").await;
    wait_for_more(&tab).await;

    running.stop().await.expect("a stop in good order");
    let (_running, _) = serve_at(&server, counting()).await;
    tab.wait_until("w.openAt > w.lostAt").await;
    let delays: Vec<f64> = tap
        .streams()
        .iter()
        .flat_map(|stream| stream.lines())
        .filter_map(|line| line.strip_prefix("retry: ")?.parse().ok())
        .collect();
    // The third is of the stream that was opened next.
    let [10.0, told, 10.0] = delays[..] else {
        panic!("one delay at the beginning of a stream and one at the farewell, not {delays:?}");
    };
    assert!(told >= 1000.0, "{told}");
    let waited = number(&tab, "w.openAt - w.lostAt").await;
    assert!(
        waited >= told - SLACK_MS,
        "told {told} ms, waited {waited} ms"
    );
    wait_for_more(&tab).await;
    browser.quit().await;
}

/// Readers of a topic, whose streams ask them to come back soon.
fn reading(topic: &Topic) -> Application {
    let topic = topic.clone();
    let read = move || -> Result<ServerEventsResponse, HttpError> {
        let events = ServerEventsResponse::new(topic.subscribe().open()?);
        Ok(events.retry(Duration::from_millis(10)))
    };
    Application::new().route(("/events", get(read)))
}

#[tokio::test]
async fn a_page_that_reads_a_topic_loses_nothing_while_its_server_drains_and_starts_again() {
    let Some(browser) = browser().await else {
        return;
    };
    let topics = Topics::new();
    let counted = topics.topic("counted").expect("a name of letters");
    let publish = |numbers: std::ops::RangeInclusive<u64>| {
        for number in numbers {
            let event = ServerSentEvent::text(number.to_string());
            drop(counted.publish(&event).expect("an event that fits"));
        }
    };
    let (running, address) = serve(reading(&counted)).await;
    let tab = page(&browser, &address).await;
    tab.eval("globalThis.w = watch('/events'); null").await;
    tab.wait_until("w.source.readyState == 1").await;
    publish(1..=20);
    tab.wait_until("w.seen.length == 20").await;

    // Published while the stream is being ended, while no server listens, and after the page is back.
    let (stopped, ()) = tokio::join!(running.stop(), async { publish(21..=30) });
    stopped.expect("a stop in good order");
    publish(31..=40);
    let (running, _) = serve_at(&address, reading(&counted)).await;
    tab.wait_until("w.seen.length >= 40").await;
    publish(41..=50);
    tab.wait_until("w.seen.length >= 50").await;
    let expected: Vec<_> = (1..=50).map(|number| json!(number.to_string())).collect();
    assert_eq!(
        tab.eval("w.seen.map(([name, data]) => data)").await,
        Value::Array(expected)
    );
    let on_the_engine = u64::from(cfg!(target_os = "linux"));
    assert_eq!(running.streams().engine, on_the_engine);
    browser.quit().await;
}
