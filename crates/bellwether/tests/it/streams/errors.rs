//! Streams that fail: with a real status before the first event, in band and cut after it.

use std::time::Duration;

use axum::http::StatusCode;
use bellwether::{
    Application, HttpError, Json, ServerEventsResponse, ServerSentEvent, event_name, get, stream,
};
use serde_json::json;
use tokio::time::sleep;

use super::{app, ask, frame, text};

#[tokio::test]
async fn an_error_before_the_first_event_reaches_the_client_with_its_real_status() {
    let fails = || {
        stream!(
            sleep(Duration::from_millis(1)).await;
            yield Err::<ServerSentEvent, HttpError>(HttpError::new(StatusCode::FORBIDDEN, "not yours"));
        )
    };
    for router in [
        app!(fails),
        app!(move || ServerEventsResponse::new(fails())),
    ] {
        let response = ask(router).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(text(response.into_body()).await.contains("not yours"));
    }
}

#[tokio::test]
async fn an_error_after_the_first_event_is_told_in_band_and_cuts_the_stream() {
    let fails = || {
        stream!(
            yield Ok(ServerSentEvent::text("one").id(1u64));
            sleep(Duration::from_millis(1)).await;
            yield Err(std::io::Error::other("disk 7 is on fire"));
        )
    };
    let mut body = ask(app!(fails)).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "data: one\nid: 1\n\n"
    );
    let told = frame(&mut body).await.unwrap().unwrap();
    let data = json!({
        "error": { "message": "Internal Server Error", "type": "server_error" },
        "status": 500,
        "message": "Internal Server Error",
    });
    assert_eq!(told, format!("event: bellwether.error\ndata: {data}\n\n"));
    assert!(
        frame(&mut body).await.unwrap().is_err(),
        "the stream is cut, not ended"
    );
    assert!(frame(&mut body).await.is_none());
}

#[tokio::test]
async fn an_error_tells_internals_only_with_show_error_details() {
    let fails = || {
        stream!(
            yield Ok("one");
            yield Err(std::io::Error::other("disk 7 is on fire"));
        )
    };
    for details in [false, true] {
        let router = Application::new()
            .show_error_details(details)
            .route(("/", get(fails)))
            .into_router()
            .unwrap();
        let mut body = ask(router).await.into_body();
        let told = frame(&mut body).await.unwrap().unwrap();
        assert_eq!(told.contains("disk 7"), details, "{told}");
    }
}

#[tokio::test]
async fn the_event_of_an_error_can_be_renamed_made_and_switched_off() {
    let fails = || {
        stream!(
            yield Ok("one");
            yield Err(std::io::Error::other("broken"));
        )
    };
    let renamed =
        app!(move || ServerEventsResponse::new(fails()).error_event_name(event_name!("oops")));
    let made = app!(move || ServerEventsResponse::new(fails())
        .error_event(|error| ServerSentEvent::text(error.to_string())));
    let silent = app!(move || ServerEventsResponse::new(fails()).no_error_event());
    let first = |router| async move { frame(&mut ask(router).await.into_body()).await };
    assert!(
        first(renamed)
            .await
            .unwrap()
            .unwrap()
            .contains("event: oops\ndata: {")
    );
    assert!(
        first(made)
            .await
            .unwrap()
            .unwrap()
            .ends_with("data: broken\n\n")
    );
    assert_eq!(first(silent).await.unwrap().unwrap(), "data: one\n\n");
}

#[tokio::test]
async fn json_that_does_not_exist_is_an_error_and_never_null() {
    let response = ask(app!(|| stream!(
        yield Json(f64::NAN);
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = ask(app!(|| stream!(
        yield ServerSentEvent::json(f64::INFINITY);
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_panic_of_a_generator_is_an_error_of_its_stream() {
    fn boom() -> ServerSentEvent {
        panic!("secret of the generator")
    }
    let response = ask(app!(|| stream!(
        yield boom();
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

    let later = || {
        stream!(
            yield ServerSentEvent::text("one");
            sleep(Duration::from_millis(1)).await;
            yield boom();
        )
    };
    let mut body = ask(app!(later)).await.into_body();
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), "data: one\n\n");
    let told = frame(&mut body).await.unwrap().unwrap();
    assert!(
        told.starts_with("event: bellwether.error\n") && !told.contains("secret"),
        "{told}"
    );
    assert!(frame(&mut body).await.unwrap().is_err());
}
