//! `bellwether::testing`: a test reads what a client would, and finds the handlers that do not resume.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::MethodRouter;
use bellwether::testing::{End, check_resume, oneshot, request, request_after};
use bellwether::{
    Application, HttpError, Json, LastEventId, Request, ServerEventsResponse, ServerSentEvent,
    Stream, Topics, get as route, stream,
};
use bellwether_testkit::eventually;
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(10);

fn app(methods: MethodRouter) -> Application {
    Application::new().route(("/", methods))
}

/// The numbers from `next` on, up to 5.
fn numbers(next: u64) -> impl Stream<Item = ServerSentEvent> {
    stream!(for number in next..=5 {
        yield ServerSentEvent::json(number).id(number);
    })
}

fn seen(last: &LastEventId) -> u64 {
    last.parse().unwrap_or(0)
}

/// What [`check_resume`] says of a handler.
async fn law(methods: MethodRouter) -> Result<usize, String> {
    let checked = check_resume(app(methods), || request("/"), 100).await;
    checked.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn paused_time_makes_hours_pass_at_once() {
    let since = Instant::now();
    let hours = || {
        stream!(for hour in 1..=3 {
            sleep(Duration::from_secs(3600)).await;
            yield Json(hour);
        })
    };
    let mut response = oneshot(app(route(hours)), request("/")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let first = response.read_events(2).await;
    assert_eq!((first.len(), response.end()), (2, None));
    assert_eq!(response.read_all().await[0].data, "3");
    assert_eq!(response.end(), Some(&End::Clean));
    assert_eq!(since.elapsed().as_secs(), 3 * 3600);
}

#[tokio::test]
async fn a_reader_that_leaves_after_some_events_is_gone_for_the_generator() {
    let cleaned = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&cleaned);
    let handler = move |request: Request| {
        let set = Arc::clone(&set);
        stream!(
            while !request.is_disconnected() {
                yield "tick";
                sleep(Duration::from_millis(1)).await;
            }
            set.store(true, Ordering::Relaxed);
        )
    };
    let mut response = oneshot(app(route(handler)), request("/"))
        .await
        .leave_after_events(3);
    assert_eq!(response.read_all().await.len(), 3);
    assert_eq!(response.end(), Some(&End::Left));
    eventually("the generator cleans up", SOON, || {
        cleaned.load(Ordering::Relaxed)
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_cut_in_its_middle_is_not_shown_and_its_id_does_not_count() {
    let whole = oneshot(app(route(|| numbers(1))), request("/"))
        .await
        .text()
        .await;
    let second = whole.find("data: 2").unwrap();
    for (bytes, events, last) in [(second + 3, 1, "1"), (0, 0, ""), (whole.len(), 5, "5")] {
        let response = oneshot(app(route(|| numbers(1))), request("/")).await;
        let mut response = response.leave_after_bytes(bytes);
        assert_eq!(response.read_all().await.len(), events, "{bytes} bytes");
        assert_eq!(
            (response.last_event_id(), response.end()),
            (last, Some(&End::Left))
        );
    }
}

#[tokio::test]
async fn a_failed_stream_is_cut_and_an_early_error_has_its_status() {
    fn failing(after: u64) -> impl Stream<Item = Result<u64, HttpError>> {
        let error = || HttpError::new(StatusCode::NOT_FOUND, "no such room");
        stream!(
            for number in 0..after {
                yield Ok(number);
            }
            yield Err(error());
        )
    }
    let numbers = |after| {
        move || {
            let stream = failing(after);
            stream!(for await number in stream {
                yield number.map(ServerSentEvent::json);
            })
        }
    };
    let mut response = oneshot(app(route(numbers(1))), request("/")).await;
    let events = response.read_all().await;
    assert_eq!(events[1].event, "bellwether.error");
    assert_eq!(response.end(), Some(&End::Cut));

    let response = oneshot(app(route(numbers(0))), request("/")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(response.text().await.contains("no such room"));
}

#[tokio::test]
async fn the_law_holds_for_generators_finished_answers_and_topics() {
    assert_eq!(
        law(route(|last: LastEventId| numbers(seen(&last) + 1))).await,
        Ok(5)
    );
    // One more place: behind the event that says that it is finished.
    let finished = |last: LastEventId| async move {
        ServerEventsResponse::new(numbers(seen(&last) + 1)).finish()
    };
    assert!(law(route(finished)).await.is_ok());

    let topics = Topics::new();
    let news = topics.topic("news").unwrap();
    let publisher = news.clone();
    let router = app(route(move || {
        news.subscribe().open().map_err(HttpError::from)
    }));
    let publish = async {
        eventually("a reader", SOON, || publisher.subscriber_count() == 1).await;
        for number in 0..4 {
            let event = ServerSentEvent::json(number);
            publisher.publish(&event).unwrap().await.unwrap();
        }
    };
    let (checked, ()) = tokio::join!(check_resume(router, || request("/"), 4), publish);
    assert_eq!(checked.unwrap(), 5, "also after the opening event");
}

#[tokio::test]
async fn handlers_that_break_the_law_are_found_and_named() {
    let from_the_start = law(route(|| numbers(1))).await.unwrap_err();
    assert_eq!(
        from_the_start,
        "after the id \"1\": event 1 should be message \"2\" with the id \"2\", found message \"1\" with the id \"1\""
    );
    let once_more = law(route(|last: LastEventId| numbers(seen(&last).max(1)))).await;
    assert!(
        once_more
            .unwrap_err()
            .starts_with("after the id \"1\": event 1 ")
    );
    let one_lost = |last: LastEventId| match seen(&last) {
        3 => numbers(5),
        last => numbers(last + 1),
    };
    assert!(
        law(route(one_lost))
            .await
            .unwrap_err()
            .starts_with("after the id \"3\"")
    );
    let too_few = |last: LastEventId| match seen(&last) {
        4 => numbers(6),
        last => numbers(last + 1),
    };
    assert!(
        law(route(too_few))
            .await
            .unwrap_err()
            .ends_with("found the end")
    );
    let too_many = |last: LastEventId| match seen(&last) {
        5 => numbers(5),
        last => numbers(last + 1),
    };
    assert!(
        law(route(too_many))
            .await
            .unwrap_err()
            .contains("should be the end, found")
    );
    let without_ids = law(route(|| stream!( yield "one"; ))).await;
    assert_eq!(without_ids.unwrap_err(), "none of 1 events has an id");
    let twice = law(route(|| {
        stream!(for id in [1, 2, 1] {
            yield ServerSentEvent::json(id).id(id);
        })
    }));
    assert_eq!(twice.await.unwrap_err(), "two events have the id \"1\"");
    let refused = |last: LastEventId| async move {
        match last.as_deref() {
            None => Ok(numbers(1)),
            Some(_) => Err(StatusCode::BAD_REQUEST),
        }
    };
    assert_eq!(
        law(route(refused)).await.unwrap_err(),
        "after the id \"1\": the response is 400 Bad Request"
    );
}

#[tokio::test]
async fn a_router_is_asked_again_and_again_and_an_id_of_any_text_comes_through() {
    let echo = |last: LastEventId| {
        let text = last.as_deref().unwrap_or_default().to_owned();
        stream!( yield text; )
    };
    let router: Router = app(route(echo)).into_router().unwrap();
    for id in ["42", "ü/€", "a b"] {
        let mut response = oneshot(&router, request_after("/", id)).await;
        assert_eq!(response.next_event().await.unwrap().data, id);
    }
}
