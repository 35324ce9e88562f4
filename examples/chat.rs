//! A chat room: each line reaches every page once, a list shows who is here, and a page that was away gets what it
//! missed.
//!
//! `cargo run --example chat`, then open http://127.0.0.1:8000 in two windows

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::Path, extract::State, http::StatusCode};
use bellwether::{
    Application, HttpError, Json, LastEventId, Policy, PublishOptions, ServerSentEvent,
    Subscription, Topics, event_name, get, post,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Deserialize, Serialize)]
struct Line {
    name: String,
    text: String,
    at: u64,
    // Made by the page, so that a line that it sends twice appears once.
    key: String,
}

fn check(what: &str, text: &str, max: usize) -> Result<(), HttpError> {
    if (1..=max).contains(&text.trim().chars().count()) {
        return Ok(());
    }
    let message = format!("a {what} has 1 to {max} characters");
    Err(HttpError::new(StatusCode::BAD_REQUEST, message))
}

// A new page gets all that the history has; one that comes back gets what came after its last event. A reader that is
// behind gets only the newest list of who is here.
#[get("/room/{name}", state = Topics)]
async fn enter(
    room: State<Topics>,
    name: Path<String>,
    last: LastEventId,
) -> Result<Subscription, HttpError> {
    check("name", &name, 24)?;
    let enter = room.topic("room")?.subscribe().from_start().after(&last);
    let enter = enter.policy(Policy::latest_per_key());
    Ok(enter.subject(name.as_str()).open()?)
}

#[post("/room", state = Topics)]
async fn say(room: State<Topics>, Json(line): Json<Line>) -> Result<StatusCode, HttpError> {
    check("name", &line.name, 24)?;
    check("line", &line.text, 2000)?;
    check("key", &line.key, 64)?;
    let event = ServerSentEvent::json(&line);
    let said = room.topic("room")?.publish_with_key(&line.key, &event)?;
    Ok(said.await.map(|_| StatusCode::NO_CONTENT)?)
}

async fn tell_who_is_here(topics: Topics, changed: Arc<Notify>) -> Result<(), HttpError> {
    loop {
        changed.notified().await;
        let present = topics.subscribers().into_iter().filter_map(|s| s.subject);
        let names: BTreeSet<_> = present.map(|name| name.to_string()).collect();
        let here = ServerSentEvent::json(names).event(event_name!("here"));
        let options = PublishOptions::new().conflation_key("here");
        topics.topic("room")?.publish_with(options, &here)?.await?;
    }
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    let changed = Arc::new(Notify::new());
    let (came, went) = (changed.clone(), changed.clone());
    let topics = Topics::builder()
        .on_subscribe(move |_| came.notify_one())
        .on_close(move |_, _| went.notify_one())
        .build();
    tokio::spawn(tell_who_is_here(topics.clone(), changed));
    let app = Application::new().route(enter).route(say).state(topics);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/chat");
    app.serve_files(page).run().await
}
