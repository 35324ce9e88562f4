//! Subscriptions as responses: what holds on the ordinary path and on that of the delivery engine alike.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::{
    AfterGap, Application, CloseReason, HttpError, LastEventId, Policy, Request, Retention,
    Running, ServerEventsResponse, ServerSentEvent, StreamDefaults, Subscribe, Subscription,
    Timeouts, Topic, Topics, event_name, get,
};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use crate::support::serve;

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Who sends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Engine,
    Body,
}

impl Path {
    pub(crate) const BOTH: [Self; 2] = [Self::Engine, Self::Body];

    /// An application whose streams take this path, without keep-alives.
    pub(crate) fn application(self) -> Application {
        let defaults = StreamDefaults::new().no_keep_alive();
        Application::new().streams(self.defaults(defaults))
    }

    pub(crate) fn defaults(self, defaults: StreamDefaults) -> StreamDefaults {
        match self {
            Self::Engine => defaults,
            Self::Body => defaults.no_engine(),
        }
    }

    /// How many of so many streams the engine takes.
    pub(crate) fn taken(self, streams: u64) -> u64 {
        match self {
            Self::Engine if cfg!(target_os = "linux") => streams,
            _ => 0,
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
pub(crate) fn publish(topic: &Topic, text: impl ToString) {
    topic
        .publish(&ServerSentEvent::text(text.to_string()))
        .unwrap();
}

/// A route that subscribes to a topic, as `set` says.
pub(crate) fn subscribes(
    application: Application,
    topic: &Topic,
    set: impl Fn(Subscribe) -> Subscribe + Clone + Send + Sync + 'static,
) -> Application {
    let topic = topic.clone();
    let handler = move || -> Result<Subscription, HttpError> { Ok(set(topic.subscribe()).open()?) };
    application.route(("/", get(handler)))
}

pub(crate) async fn serve_topic(path: Path, topic: &Topic) -> (Running, SocketAddr) {
    serve(subscribes(path.application(), topic, |subscribe| subscribe)).await
}

/// A client whose subscription has begun.
pub(crate) async fn open(address: SocketAddr, running: &Running) -> RawClient {
    let before = running.streams().opened;
    let mut client = RawClient::connect_and_get(address, "/").await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(running.streams().opened, before + 1);
    client
}

pub(crate) async fn closed_for(running: &Running, reason: CloseReason) {
    eventually("the streams to close", SOON, || running.streams().open == 0).await;
    let streams = running.streams();
    assert_eq!(streams.closed(reason), streams.opened, "{streams:?}");
}

pub(crate) fn news() -> (Topics, Topic) {
    let topics = Topics::new();
    let news = topics.topic("news").unwrap();
    (topics, news)
}

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
            let retry = text.strip_prefix("retry: ").unwrap().trim_end();
            let retry: u64 = retry.parse().unwrap();
            assert!((2000..=4000).contains(&retry), "{retry}");
            retries.insert(retry);
        }
        assert!(retries.len() > 10, "{retries:?}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_after_its_last_id_though_the_handler_says_nothing_of_it()
{
    for path in Path::BOTH {
        let (_, news) = news();
        let (running, address) = serve_topic(path, &news).await;
        let mut client = open(address, &running).await;
        publish(&news, "one");
        let id = client.next_event().await.unwrap().last_event_id;
        drop(client);
        publish(&news, "two");
        publish(&news, "three");
        for (name, path) in [
            ("last-event-id", "/"),
            ("x", &*format!("/?last_event_id={id}")),
        ] {
            let mut client = RawClient::connect(address).await;
            client.get(path, &[(name, id.as_str())]).await;
            client.read_head().await;
            assert_eq!(client.next_event().await.unwrap().data, "two");
            assert_eq!(client.next_event().await.unwrap().data, "three");
        }
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_resumed_is_told_as_a_gap_under_the_name_that_the_response_says() {
    for path in Path::BOTH {
        let (_, news) = news();
        let publisher = news.clone();
        let other = news.clone();
        let third = news.clone();
        let opened = |topic: &Topic| topic.subscribe().open();
        let application = path
            .application()
            .route(("/", get(move || opened(&news).map_err(HttpError::from))))
            .route((
                "/renamed",
                get(move || {
                    opened(&other)
                        .map(|subscription| {
                            ServerEventsResponse::new(subscription)
                                .gap_event_name(event_name!("lost"))
                        })
                        .map_err(HttpError::from)
                }),
            ))
            .route((
                "/silent",
                get(move || {
                    opened(&third)
                        .map(|subscription| ServerEventsResponse::new(subscription).no_gap_event())
                        .map_err(HttpError::from)
                }),
            ));
        let (running, address) = serve(application).await;
        let long = "x".repeat(300);
        for asked in ["nonsense", "1.00000000001.7.000003", &long] {
            for (route, name) in [
                ("/", "bellwether.gap"),
                ("/renamed", "lost"),
                ("/silent", "message"),
            ] {
                let mut client = RawClient::connect(address).await;
                client.get(route, &[("last-event-id", asked)]).await;
                client.read_head().await;
                publish(&publisher, "next");
                let event = client.next_event().await.unwrap();
                assert_eq!(event.event, name, "{path:?} {route} {event:?}");
                if route != "/silent" {
                    assert!(event.data.starts_with("{\"reason\":\""), "{event:?}");
                    assert!(!event.last_event_id.is_empty());
                }
            }
        }
        assert_eq!(running.streams().engine, path.taken(9));
    }
}

#[tokio::test]
async fn a_start_that_the_handler_chose_wins_over_the_clients_last_id() {
    for path in Path::BOTH {
        let (_, news) = news();
        publish(&news, "one");
        let first = news.publish(&ServerSentEvent::text("two")).unwrap();
        let first = first.id().unwrap();
        publish(&news, "three");
        let (all, latest, chosen) = (news.clone(), news.clone(), news.clone());
        let application = path
            .application()
            .route((
                "/all",
                get(move || Ok::<_, HttpError>(all.subscribe().from_start().open()?)),
            ))
            .route((
                "/now",
                get(move || Ok::<_, HttpError>(latest.subscribe().from_now().open()?)),
            ))
            .route((
                "/after",
                get(move |last: LastEventId| {
                    Ok::<_, HttpError>(chosen.subscribe().after(&last).open()?)
                }),
            ));
        let (running, address) = serve(application).await;
        for (route, expected) in [("/all", "one"), ("/now", "four"), ("/after", "three")] {
            let mut client = RawClient::connect(address).await;
            client
                .get(route, &[("last-event-id", first.as_str())])
                .await;
            client.read_head().await;
            eventually("the stream", SOON, || running.streams().open > 0).await;
            if route == "/now" {
                publish(&news, "four");
            }
            assert_eq!(client.next_event().await.unwrap().data, expected, "{route}");
        }
    }
}

#[tokio::test]
async fn a_subscription_that_cannot_be_opened_is_answered_with_its_status() {
    let topics = Topics::builder().max_subscribers(0).build();
    let news = topics.topic("news").unwrap();
    let named = topics.clone();
    let application = subscribes(Application::new(), &news, |s| s).route((
        "/invalid",
        get(move || Ok::<_, HttpError>(named.topic("")?.subscribe().open()?)),
    ));
    let (running, address) = serve(application).await;
    for (path, status) in [("/", 503), ("/invalid", 400)] {
        let mut client = RawClient::connect_and_get(address, path).await;
        assert_eq!(client.read_head().await.status, status, "{path}");
    }
    assert_eq!(running.streams().opened, 0);
}

#[tokio::test]
async fn a_filter_holds_for_replayed_events_as_for_new_ones() {
    for path in Path::BOTH {
        let (_, news) = news();
        let even = |subscribe: Subscribe| {
            subscribe.from_start().filter(|frame| {
                let text = String::from_utf8_lossy(frame.as_bytes());
                let number = text.trim_end().rsplit(' ').next().unwrap();
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
async fn a_subject_that_is_sent_away_has_its_streams_ended_and_no_other() {
    for path in Path::BOTH {
        let (topics, news) = news();
        let subject = news.clone();
        let handler = move |request: Request| {
            let who = request.uri().query().unwrap_or_default().to_owned();
            Ok::<_, HttpError>(subject.subscribe().subject(who).open()?)
        };
        let (running, address) = serve(path.application().route(("/", get(handler)))).await;
        let mut clients = Vec::new();
        for who in ["ann", "bob", "ann"] {
            let mut client = RawClient::connect_and_get(address, &format!("/?{who}")).await;
            client.read_head().await;
            clients.push(client);
        }
        publish(&news, "hello");
        for client in &mut clients {
            assert_eq!(client.next_event().await.unwrap().data, "hello");
        }
        assert_eq!(topics.kick("ann"), 2);
        // Whoever was sent away gets nothing that is published after that, however soon.
        publish(&news, "again");
        for index in [0, 2] {
            assert_eq!(clients[index].next_event().await, Err(BodyEnd::Clean));
        }
        assert_eq!(clients[1].next_event().await.unwrap().data, "again");
        let streams = running.streams();
        assert_eq!((streams.open, streams.closed(CloseReason::Kicked)), (1, 2));
    }
}

#[tokio::test]
async fn a_subscription_ends_when_its_time_is_over_whether_or_not_something_is_published() {
    for path in Path::BOTH {
        for busy in [false, true] {
            let (_, news) = news();
            let set = |subscribe: Subscribe| {
                subscribe.expires_at(Instant::now() + Duration::from_millis(150))
            };
            let (running, address) = serve(subscribes(path.application(), &news, set)).await;
            let mut client = open(address, &running).await;
            let began = Instant::now();
            let publisher = tokio::spawn(async move {
                if busy {
                    loop {
                        publish(&news, "tick");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            });
            while client.next_event().await.is_ok() {}
            assert!(began.elapsed() < Duration::from_secs(1), "{path:?}");
            assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
            closed_for(&running, CloseReason::Expired).await;
            publisher.abort();
        }
    }
}

#[tokio::test]
async fn closed_topics_end_their_streams_and_a_gap_can_be_the_end() {
    for path in Path::BOTH {
        let (topics, news) = news();
        let set = |subscribe: Subscribe| subscribe.after_gap(AfterGap::Close);
        let (running, address) = serve(subscribes(path.application(), &news, set)).await;
        let mut gap = RawClient::connect(address).await;
        gap.get("/", &[("last-event-id", "nonsense")]).await;
        gap.read_head().await;
        assert_eq!(gap.next_event().await.unwrap().event, "bellwether.gap");
        assert_eq!(gap.next_event().await, Err(BodyEnd::Clean));
        let mut client = open(address, &running).await;
        topics.close().await.unwrap();
        assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
        eventually("the end", SOON, || running.streams().open == 0).await;
        let streams = running.streams();
        assert_eq!(streams.closed(CloseReason::Stopping), 1);
        assert_eq!(streams.closed(CloseReason::Finished), 1);
    }
}

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
            text.ends_with("\n\nretry: 1234\n\n"),
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

#[tokio::test]
async fn keep_alives_come_while_nothing_is_sent_and_traffic_puts_them_off() {
    for path in Path::BOTH {
        let (_, news) = news();
        let interval = Duration::from_millis(300);
        let defaults = path.defaults(StreamDefaults::new().keep_alive(interval));
        let application = subscribes(Application::new().streams(defaults), &news, |s| s);
        let (running, address) = serve(application).await;
        let mut client = open(address, &running).await;
        // The `retry` of the beginning.
        client.read_body_chunk().await.unwrap();
        let began = Instant::now();
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n", "{path:?}");
        assert!(began.elapsed() <= interval + interval / 2);
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n");
        // Twice an interval of traffic without a single beat.
        for i in 0..40 {
            publish(&news, i);
            let chunk = client.read_body_chunk().await.unwrap();
            assert!(
                chunk.ends_with(format!("data: {i}\n\n").as_bytes()),
                "{chunk:?}"
            );
            tokio::time::sleep(interval / 20).await;
        }
        assert_eq!(client.read_body_chunk().await.unwrap(), ":\n");
    }
}

#[tokio::test]
async fn a_task_that_asks_is_told_that_the_client_of_a_subscription_has_left() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (told, mut tells) = tokio::sync::mpsc::channel(1);
        let handler = move |request: Request| {
            let told = told.clone();
            tokio::spawn(async move {
                request.disconnected().await;
                told.send(()).await.unwrap();
            });
            Ok::<_, HttpError>(news.subscribe().open()?)
        };
        let (running, address) = serve(path.application().route(("/", get(handler)))).await;
        let client = open(address, &running).await;
        assert!(tells.try_recv().is_err());
        client.finish().await;
        tells.recv().await.unwrap();
        closed_for(&running, CloseReason::ClientLeft).await;
    }
}

#[tokio::test]
async fn a_filter_that_panics_ends_its_own_stream_with_an_error_and_no_other() {
    for path in Path::BOTH {
        let (_, news) = news();
        let bad = news.clone();
        let application = subscribes(path.application(), &news, |s| s).route((
            "/bad",
            get(move || {
                let explodes = bad.subscribe().filter(|_| panic!("a filter explodes"));
                Ok::<_, HttpError>(explodes.open()?)
            }),
        ));
        let (running, address) = serve(application).await;
        let mut good = open(address, &running).await;
        let mut bad = RawClient::connect_and_get(address, "/bad").await;
        bad.read_head().await;
        publish(&news, "hello");
        let error = bad.next_event().await.unwrap();
        assert_eq!(
            (error.event.as_str(), error.last_event_id.as_str()),
            ("bellwether.error", "")
        );
        assert_eq!(bad.next_event().await, Err(BodyEnd::Cut), "{path:?}");
        publish(&news, "again");
        assert_eq!(good.next_event().await.unwrap().data, "hello");
        assert_eq!(good.next_event().await.unwrap().data, "again");
        let streams = running.streams();
        assert_eq!((streams.open, streams.closed(CloseReason::Error)), (1, 1));
    }
}

#[tokio::test]
async fn history_that_only_the_broker_has_is_replayed_without_a_seam() {
    for path in Path::BOTH {
        let broker = bellwether_topics::Memory::default();
        let node = async || {
            Topics::builder()
                .retention(Retention::default().max_events(16))
                .open(Arc::new(broker.clone()))
                .await
                .unwrap()
        };
        let here = node().await;
        let news = here.topic("news").unwrap();
        let first = news.publish(&ServerSentEvent::text("0")).unwrap();
        let first = first.await.unwrap().to_string();
        for i in 1..700 {
            let published = news.publish(&ServerSentEvent::text(i.to_string()));
            if i % 100 == 99 {
                published.unwrap().await.unwrap();
            }
        }
        let there = node().await;
        let topic = there.topic("news").unwrap();
        let (running, address) = serve_topic(path, &topic).await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = RawClient::connect(address).await;
            client.get("/", &[("last-event-id", &first)]).await;
            client.read_head().await;
            clients.push(client);
        }
        for i in 700..720 {
            let event = ServerSentEvent::text(i.to_string());
            news.publish(&event).unwrap().await.unwrap();
        }
        for client in &mut clients {
            for i in 1..720 {
                let event = client.next_event().await.unwrap();
                assert_eq!(
                    (event.event.as_str(), event.data),
                    ("message", i.to_string())
                );
            }
        }
        // The log is replaced: everybody is told so.
        broker.start_over();
        for client in &mut clients {
            let gap = client.next_event().await.unwrap();
            assert_eq!(gap.event, "bellwether.gap", "{path:?}");
            assert!(gap.data.contains("\"epoch\""), "{}", gap.data);
        }
        let event = ServerSentEvent::text("after");
        news.publish(&event).unwrap().await.unwrap();
        for client in &mut clients {
            assert_eq!(client.next_event().await.unwrap().data, "after");
        }
        assert_eq!(running.streams().engine, path.taken(10));
        drop(clients);
        closed_for(&running, CloseReason::ClientLeft).await;
    }
}
