//! One feed for browsers with server-sent events and for clients without: long polling as the
//! fallback, from the same history.
//!
//! `cargo run --example long_polling`, then `curl -N http://127.0.0.1:8000/events`, or, again and
//! again with the highest number seen, `curl -i 'http://127.0.0.1:8000/poll?after=3'`

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether::{Application, Json, LastEventId, ServerSentEvent, Stream, get, stopping, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

// The last 100 readings with their numbers, and a wake-up with each new one.
type Feed = watch::Receiver<VecDeque<(u64, String)>>;

fn newer(history: &VecDeque<(u64, String)>, after: u64) -> Vec<(u64, String)> {
    let readings = history.iter().filter(|(number, _)| *number > after);
    readings.cloned().collect()
}

#[get("/events", state = Feed)]
fn events(State(mut feed): State<Feed>, last: LastEventId) -> impl Stream<Item = ServerSentEvent> {
    let mut after = last.parse().unwrap_or(0);
    stream!(loop {
        let readings = newer(&feed.borrow_and_update(), after);
        for (number, message) in readings {
            after = number;
            yield ServerSentEvent::json(json!({ "message": message })).id(number);
        }
        if feed.changed().await.is_err() {
            break;
        }
    })
}

#[derive(Deserialize)]
struct Asked {
    after: u64,
    // For clients behind a proxy with a short timeout: at most this many seconds.
    wait: Option<u64>,
}

#[get("/poll", state = Feed)]
async fn poll(State(mut feed): State<Feed>, Query(asked): Query<Asked>) -> Response {
    let patience = Duration::from_secs(asked.wait.unwrap_or(25).min(25));
    tokio::select! {
        Ok(history) = feed.wait_for(|history| !newer(history, asked.after).is_empty()) => {
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            (no_store, Json(newer(&history, asked.after))).into_response()
        }
        () = sleep(patience) => StatusCode::NO_CONTENT.into_response(),
        () = stopping() => StatusCode::NO_CONTENT.into_response(),
    }
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    let (history, feed) = watch::channel(VecDeque::new());
    tokio::spawn(async move {
        for number in 1.. {
            history.send_modify(|history| {
                history.push_back((number, format!("Hello World {number}")));
                history.drain(..history.len().saturating_sub(100));
            });
            sleep(Duration::from_secs(1)).await;
        }
    });
    let app = Application::new().route(events).route(poll);
    app.state(feed).run().await
}
