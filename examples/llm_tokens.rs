//! An answer that comes word by word, as from a language model, with an event that marks its end.
//!
//! An `EventSource` reconnects after every end. `finish()` closes the stream with an id; the reconnect
//! brings it back and is answered with 204, which ends it, so that no answer is generated twice.
//!
//! `cargo run --example llm_tokens`, then open http://127.0.0.1:8000, or
//! `curl -N http://127.0.0.1:8000/answer --json '{"prompt":"Why do sheep wear bells?"}'`

use std::time::Duration;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Html;
use bellwether::{
    Application, HttpError, Json, OnStop, ServerEventsResponse, ServerSentEvent, Stream, get, post,
    stream,
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

#[derive(Deserialize)]
struct Question {
    prompt: String,
}

#[get("/")]
async fn page() -> Html<&'static str> {
    Html(include_str!("llm_tokens.html"))
}

// For programs.
#[post("/answer")]
async fn answer(Json(question): Json<Question>) -> Result<ServerEventsResponse, HttpError> {
    answered(&question.prompt)
}

// For an EventSource, which can only GET.
#[get("/answer")]
async fn watch(Query(question): Query<Question>) -> Result<ServerEventsResponse, HttpError> {
    answered(&question.prompt)
}

fn answered(prompt: &str) -> Result<ServerEventsResponse, HttpError> {
    if prompt.trim().is_empty() {
        return Err(HttpError::new(
            StatusCode::BAD_REQUEST,
            "the prompt is empty",
        ));
    }
    // Half an answer is worth little: on stop it may run to its end while the drain lasts.
    Ok(ServerEventsResponse::new(tokens(prompt))
        .on_stop(OnStop::LetFinish)
        .finish())
}

fn tokens(prompt: &str) -> impl Stream<Item = ServerSentEvent> + use<> {
    let answer = format!(
        "You asked: \"{}\" I am not a model, but this is how one would answer: a word at a time, \
         each as an event of its own, so that you read the first while the last is being made.",
        prompt.trim()
    );
    stream!(for token in answer.split_inclusive(' ') {
        sleep(Duration::from_millis(40)).await;
        yield ServerSentEvent::json(json!({ "token": token }));
    })
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    Application::new()
        .route(page)
        .route(answer)
        .route(watch)
        .run()
        .await
}
