//! The shortest program: a route that is a generator of events.
//!
//! `cargo run --example hello`, then `curl -N http://127.0.0.1:8000/events`

use std::time::Duration;

use bellwether::{Application, ServerSentEvent, Stream, get, stream};
use serde_json::json;
use tokio::time::sleep;

// The return type says that this handler streams events.
#[get("/events")]
fn events() -> impl Stream<Item = ServerSentEvent> {
    stream!(for i in 0..3 {
        yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
        sleep(Duration::from_secs(1)).await;
    })
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    Application::new().route(events).run().await
}
