//! Where a subscription begins: after the client's last id, where the handler says, or with a gap.

use std::sync::Arc;

use bellwether::{
    CloseReason, Delivery, Frame, HttpError, LastEventId, Retention, ServerEventsResponse,
    ServerSentEvent, Topic, Topics, event_name, get, stream,
};
use bellwether_testkit::{RawClient, eventually};

use super::{Path, SOON, closed_for, news, open, publish, serve_topic};
use crate::support::serve;

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

#[tokio::test]
async fn a_reader_that_was_cut_before_its_first_event_comes_back_with_an_id_and_loses_nothing() {
    for path in Path::BOTH {
        let (topics, news) = news();
        publish(&news, "before");
        publish(&topics.topic("other").unwrap(), "not its own");
        let (running, address) = serve_topic(path, &news).await;
        let mut client = open(address, &running).await;
        let opening = client.next_message().await.unwrap();
        assert_eq!(opening.event, event_name!("bellwether.open"), "{path:?}");
        assert_eq!(opening.data, "{\"keep_alive_ms\":null}");
        client.reset();
        publish(&news, "meanwhile");

        let mut client = RawClient::connect(address).await;
        let id = opening.last_event_id;
        client.get("/", &[("last-event-id", id.as_str())]).await;
        client.read_head().await;
        let first = client.next_message().await.unwrap();
        assert_eq!(
            (first.event.as_str(), first.data.as_str()),
            ("message", "meanwhile")
        );
    }
}

#[tokio::test]
async fn a_stream_opens_with_an_id_only_where_the_client_has_none_and_no_event_brings_one() {
    for path in Path::BOTH {
        let (_, news) = news();
        publish(&news, "kept");
        let [started, silent, quiet] = [&news, &news, &news].map(Clone::clone);
        let ask_for_all = move || {
            started
                .subscribe()
                .from_start()
                .open()
                .map_err(HttpError::from)
        };
        let say_nothing = move || {
            let response = silent.subscribe().open().map(ServerEventsResponse::new);
            response
                .map(ServerEventsResponse::no_open_event)
                .map_err(HttpError::from)
        };
        let application = path
            .application()
            .route(("/all", get(ask_for_all)))
            .route(("/silent", get(say_nothing)))
            .route((
                "/",
                get(move || quiet.subscribe().open().map_err(HttpError::from)),
            ));
        let (running, address) = serve(application).await;
        let first = async |route: &str, headers: &[(&str, &str)], text: &str| {
            let opened = running.streams().opened;
            let mut client = RawClient::connect(address).await;
            client.get(route, headers).await;
            client.read_head().await;
            assert_eq!(running.streams().opened, opened + 1);
            publish(&news, text);
            client.next_message().await.unwrap()
        };
        let all = first("/all", &[], "a").await;
        assert_eq!((all.event.as_str(), all.data.as_str()), ("message", "kept"));
        assert_eq!(first("/silent", &[], "b").await.event.as_str(), "message");
        let opening = first("/", &[], "c").await;
        assert_eq!(opening.event.as_str(), "bellwether.open");
        let headers = [("last-event-id", opening.last_event_id.as_str())];
        assert_eq!(first("/", &headers, "d").await.data, "c");
    }
}

/// Routes that all read one topic, in every shape that compiles.
fn every_shape(news: &Topic) -> Vec<(&'static str, axum::routing::MethodRouter)> {
    let opened = {
        let news = news.clone();
        move || news.subscribe().open().map_err(HttpError::from)
    };
    let [a, b, c, d, e] = [(); 5].map(|()| opened.clone());
    vec![
        ("/plain", get(a)),
        (
            "/wrapped",
            get(move || {
                let mut subscription = b().unwrap();
                stream!(while let Some(delivery) = subscription.next().await {
                    yield delivery;
                })
            }),
        ),
        (
            "/opened-inside",
            get(move || {
                let c = c.clone();
                stream!(
                    let mut subscription = c().unwrap();
                    while let Some(delivery) = subscription.next().await {
                        yield delivery;
                    }
                )
            }),
        ),
        (
            "/mapped",
            get(move || {
                let mut subscription = d().unwrap();
                ServerEventsResponse::new(stream!(while let Some(delivery) =
                    subscription.next().await
                {
                    yield match delivery {
                        Delivery::Event(frame) => {
                            ServerSentEvent::text(text_of(&frame)).id(frame.id())
                        }
                        Delivery::Gap(gap) => gap.to_event(event_name!("bellwether.gap")),
                        _ => ServerSentEvent::new(),
                    };
                }))
            }),
        ),
        (
            "/axum",
            axum::routing::get(async move || ServerEventsResponse::new(e().unwrap())),
        ),
    ]
}

fn text_of(frame: &Frame) -> String {
    let bytes = String::from_utf8_lossy(frame.as_bytes());
    let line = bytes.lines().find_map(|line| line.strip_prefix("data: "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn a_subscription_resumes_in_every_shape_under_an_application() {
    for path in Path::BOTH {
        let (_, news) = news();
        let mut application = path.application();
        let mut routes = Vec::new();
        for (route, method) in every_shape(&news) {
            routes.push(route);
            application = application.route((route, method));
        }
        let (_running, address) = serve(application).await;
        let one = ServerSentEvent::text("one");
        let id = news.publish(&one).unwrap().id().unwrap();
        publish(&news, "two");
        publish(&news, "three");
        for route in routes {
            let mut client = RawClient::connect(address).await;
            client.get(route, &[("last-event-id", id.as_str())]).await;
            client.read_head().await;
            for text in ["two", "three"] {
                assert_eq!(client.next_event().await.unwrap().data, text, "{route}");
            }
            let mut client = RawClient::connect(address).await;
            client.get(route, &[("last-event-id", "nonsense")]).await;
            client.read_head().await;
            let gap = client.next_event().await.unwrap();
            assert_eq!(gap.event.as_str(), "bellwether.gap", "{route}");
        }
    }
}

#[tokio::test]
async fn under_a_foreign_server_a_subscription_resumes_or_begins_with_a_gap_in_every_shape() {
    let (_, news) = news();
    let mut router = axum::Router::new();
    let mut routes = Vec::new();
    for (route, method) in every_shape(&news) {
        routes.push(route);
        router = router.route(route, method);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let one = ServerSentEvent::text("one");
    let id = news.publish(&one).unwrap().id().unwrap();
    publish(&news, "two");
    for route in routes {
        let mut client = RawClient::connect(address).await;
        client.get(route, &[("last-event-id", id.as_str())]).await;
        client.read_head().await;
        let first = client.next_event().await.unwrap();
        if route == "/axum" {
            assert_eq!(first.event.as_str(), "bellwether.gap");
            assert!(first.data.contains("\"unknown\""), "{}", first.data);
            publish(&news, "three");
            assert_eq!(client.next_event().await.unwrap().data, "three");
        } else {
            assert_eq!(first.data, "two", "{route}");
        }
    }
    server.abort();
}

#[tokio::test]
async fn a_second_subscription_of_a_generator_does_not_repeat_what_the_first_gave() {
    let (_, news) = news();
    let topic = news.clone();
    let handler = move || {
        let topic = topic.clone();
        stream!(loop {
            let mut subscription = topic.subscribe().open().unwrap();
            yield subscription.next().await.unwrap();
        })
    };
    let (_running, address) = serve(Path::Body.application().route(("/", get(handler)))).await;
    let one = ServerSentEvent::text("one");
    let id = news.publish(&one).unwrap().id().unwrap();
    publish(&news, "two");
    let mut client = RawClient::connect(address).await;
    client.get("/", &[("last-event-id", id.as_str())]).await;
    client.read_head().await;
    assert_eq!(client.next_event().await.unwrap().data, "two");
    let next = client.next_event().await.unwrap();
    assert_eq!(next.event.as_str(), "bellwether.gap");
}
