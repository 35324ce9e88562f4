//! The same stream with the response in your hands: a header of your own, another keep-alive.
//!
//! `cargo run --example response`, then `curl -Ni http://127.0.0.1:8000/events`

use std::time::Duration;

use bellwether::{Application, ServerEventsResponse, ServerSentEvent, Stream, get, stream};
use serde_json::json;
use tokio::time::sleep;

fn provider() -> impl Stream<Item = ServerSentEvent> {
    stream!(for i in 0..3 {
        yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
        sleep(Duration::from_secs(1)).await;
    })
}

#[get("/events")]
async fn events() -> ServerEventsResponse {
    ServerEventsResponse::new(provider())
        .header("x-feed", "demo")
        .keep_alive(Duration::from_secs(5))
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    Application::new().route(events).run().await
}
