//! A broadcaster: what is posted to a topic goes to all its readers, and a reader that comes back goes on after the
//! last event it had.
//!
//! `cargo run --release --example broadcast`, then `curl -N 'http://127.0.0.1:8000/events?topic=news'`, and elsewhere
//! `curl http://127.0.0.1:8000/publish?topic=news -d hello`, which answers with the event's id

use axum::extract::{Query, State};
use bellwether::{
    Application, HttpError, Json, ServerSentEvent, Stream, Subscription, Topics, get, post, stream,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Asked {
    topic: String,
}

// A client that sends the last id it had, in the header `Last-Event-ID` or as `last_event_id` in the query, goes on
// after it: the subscription does that. After an unknown id the first event is `bellwether.gap`.
#[get("/events", state = Topics)]
async fn events(
    State(topics): State<Topics>,
    Query(asked): Query<Asked>,
) -> Result<Subscription, HttpError> {
    Ok(topics.topic(&asked.topic)?.subscribe().open()?)
}

// `String` takes UTF-8 up to the limit of bodies (1 MiB); anything else is answered with 400 or 413.
#[post("/publish", state = Topics)]
async fn publish(
    State(topics): State<Topics>,
    Query(asked): Query<Asked>,
    body: String,
) -> Result<String, HttpError> {
    let event = ServerSentEvent::text(body);
    let cursor = topics.topic(&asked.topic)?.publish(&event)?.await?;
    Ok(cursor.to_string())
}

#[derive(Serialize)]
struct Message {
    i: u64,
    msg: &'static str,
}

// As many events as the client takes. `Json` is written straight into the buffer that is sent.
#[get("/gen")]
fn generate() -> impl Stream<Item = Json<Message>> {
    stream!(for i in 0.. {
        yield Json(Message { i, msg: "hello" });
    })
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    // Room for the largest body as one event.
    let topics = Topics::builder().max_event_bytes(2 << 20).build();
    Application::new()
        .route(events)
        .route(publish)
        .route(generate)
        .state(topics)
        .run()
        .await
}
