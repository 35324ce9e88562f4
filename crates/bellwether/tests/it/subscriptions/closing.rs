//! What closes a subscription though its client stays, or keeps it from opening; and who learns that it is closed.

use std::time::{Duration, Instant};

use bellwether::{AfterGap, Application, CloseReason, HttpError, Request, Subscribe, Topics, get};
use bellwether_testkit::{BodyEnd, RawClient, eventually};

use super::{Path, SOON, closed_for, news, open, publish, subscribes};
use crate::support::serve;

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
        // A reader that was sent away gets nothing that is published after that, however soon.
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
        assert_eq!(error.event.as_str(), "bellwether.error");
        assert_eq!(bad.next_event().await, Err(BodyEnd::Cut), "{path:?}");
        publish(&news, "again");
        assert_eq!(good.next_event().await.unwrap().data, "hello");
        assert_eq!(good.next_event().await.unwrap().data, "again");
        let streams = running.streams();
        assert_eq!((streams.open, streams.closed(CloseReason::Error)), (1, 1));
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
async fn a_task_that_holds_only_the_question_is_told_that_the_client_of_a_subscription_has_left() {
    for path in Path::BOTH {
        let (_, news) = news();
        let (told, mut tells) = tokio::sync::mpsc::channel(1);
        let handler = move |request: Request| {
            let told = told.clone();
            // The request itself is dropped with the handler.
            let gone = request.disconnected();
            tokio::spawn(async move {
                gone.await;
                told.send(()).await.unwrap();
            });
            Ok::<_, HttpError>(news.subscribe().open()?)
        };
        let (running, address) = serve(path.application().route(("/", get(handler)))).await;
        let client = open(address, &running).await;
        client.finish().await;
        let seen = tokio::time::timeout(SOON, tells.recv()).await;
        assert_eq!(seen, Ok(Some(())), "{path:?}");
        closed_for(&running, CloseReason::ClientLeft).await;
    }
}
