//! The programs of the guide compile as they stand there.

use std::time::Duration;

use bellwether::{
    Application, Request, Route, ServerEventsResponse, ServerSentEvent, Stream, get, is_stopping,
    stream,
};
use serde_json::json;
use tokio::time::sleep;

mod generator {
    use super::*;

    #[get("/events")]
    pub(super) fn events() -> impl Stream<Item = ServerSentEvent> {
        stream!(for i in 0..3 {
            yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
            sleep(Duration::from_secs(1)).await;
        })
    }
}

mod response {
    use super::*;

    fn provider() -> impl Stream<Item = ServerSentEvent> {
        stream!(
            yield ServerSentEvent::text("one");
        )
    }

    #[get("/events")]
    pub(super) async fn events() -> ServerEventsResponse {
        ServerEventsResponse::new(provider())
            .header("x-feed", "demo")
            .keep_alive(Duration::from_secs(5))
    }
}

mod leaving {
    use super::*;

    #[get("/events")]
    pub(super) fn events(request: Request) -> impl Stream<Item = ServerSentEvent> {
        stream!(
            let mut i = 0;
            loop {
                if request.is_disconnected() {
                    break;
                }
                if is_stopping() {
                    break;
                }
                i += 1;
                yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
                sleep(Duration::from_secs(1)).await;
            }
        )
    }
}

fn events_fn() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("one");
    )
}

#[test]
fn the_programs_of_the_guide_make_applications() {
    let _: Application = Application::new().route(generator::events);
    let _: Application = Application::new().route(response::events);
    let _: Application = Application::new()
        .show_error_details(true)
        .serve_files("static")
        .route(leaving::events);
    let app: axum::Router = axum::Router::new().route("/events", bellwether::get(events_fn));
    assert!(app.has_routes());
}

#[test]
fn the_name_of_a_route_stays_free_for_variables() {
    use generator::events;

    let routes: [Route; 1] = [events()];
    let [events] = routes;
    assert_eq!(events.path(), "/events");
}
