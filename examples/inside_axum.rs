//! One event route in an axum application that `axum::serve` serves, with an end that works: without `shutdown_signal`,
//! axum's graceful shutdown waits for open streams without an end.
//!
//! `cargo run --example inside_axum`, then `curl -N http://127.0.0.1:8000/events`

use std::env;
use std::io;
use std::time::Duration;

use axum::Router;
use bellwether::{LastEventId, ServerSentEvent, Stream, shutdown_signal, stream};
use tokio::net::TcpListener;
use tokio::time::sleep;

// Counts on from where the client was.
fn count(last: LastEventId) -> impl Stream<Item = ServerSentEvent> {
    let mut next = last.parse::<u64>().map_or(0, |seen| seen.saturating_add(1));
    stream!(loop {
        yield ServerSentEvent::json(next).id(next);
        next += 1;
        sleep(Duration::from_secs(1)).await;
    })
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().init();
    let app = Router::new()
        .route("/", axum::routing::get(async || "an axum route\n"))
        .route("/events", bellwether::get(count));

    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let listener = TcpListener::bind(format!("{host}:{port}")).await?;
    println!("inside_axum on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown_signal(Duration::from_secs(10)))
        .await
}
