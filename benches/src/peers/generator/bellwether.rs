//! Bellwether as a peer: the attribute on a generator, run by the application.

use std::future::pending;
use std::io;

use axum::extract::Query;
use bellwether::{Application, Json, ServerSentEvent, Stream, get, stream};

use super::{Asked, Message};
use crate::peers::application;

#[get("/generator")]
fn json(Query(asked): Query<Asked>) -> impl Stream<Item = Json<Message>> {
    stream!(for i in 0..asked.events {
        yield Json(Message::new(i));
    })
}

#[get("/generator")]
fn events(Query(asked): Query<Asked>) -> impl Stream<Item = ServerSentEvent> {
    stream!(for i in 0..asked.events {
        yield ServerSentEvent::json(Message::new(i));
    })
}

#[get("/idle")]
fn idle() -> impl Stream<Item = Json<Message>> {
    stream!(
        yield Json(Message::new(0));
        pending::<()>().await;
    )
}

pub(super) fn serve_json() -> io::Result<()> {
    run(Application::new().route(json).route(idle))
}

pub(super) fn serve_events() -> io::Result<()> {
    run(Application::new().route(events).route(idle))
}

fn run(application: Application) -> io::Result<()> {
    super::runtime()?.block_on(application::serve(application))
}
