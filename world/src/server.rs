//! The server that clients are tried with: a real Bellwether program on a durable log, as a child that can be killed.
//!
//! | route | says |
//! |---|---|
//! | `POST /publish/{topic}` | publishes each text of a JSON array, and answers when all are in the log |
//! | `GET /topic/{topic}` | the topic from its beginning, or behind the client's last id |
//! | `GET /quiet/{topic}` | the same, with a keep-alive each second |
//! | `GET /once` | one event, then an end, with a `retry:` of 1.5 s |
//! | `GET /failing` | two events, then an error |
//! | `GET /answer` | three events that are all, so that a reconnect is answered with 204 |
//! | `POST /v1/chat/completions` | as OpenAI's API; below `/failing` it fails on the way |
//! | `POST /v1/messages` | as Anthropic's API; below `/failing` it fails on the way |
//! | `GET /page` | a page with an `EventSource`, for browsers |

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::Html;
use bellwether::{
    Application, BoxError, Drain, ErrorShape, EventName, HttpError, Json, LastEventId,
    ServerEventsResponse, ServerSentEvent, Stream, Topics, get, post, stream,
};
use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::Program;
use tokio::process::Command;

use crate::payload::{chat_chunks, message_events, numbered};

/// The page that a browser opens; the minimal server has it too.
pub(crate) const PAGE: &str = include_str!("../clients/page.html");

/// The delay that `/once` asks clients to wait.
pub(crate) const RETRY: Duration = Duration::from_millis(1500);

/// The file of the log.
const DATABASE: &str = "WORLD_DATABASE";

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
    database: PathBuf,
}

impl Server {
    /// Starts a server on a log in this file, which may exist, on a port that the system picks.
    pub(crate) async fn start(database: &Path) -> Self {
        let program = std::env::current_exe().expect("a program knows its own file");
        let mut command = Command::new(program);
        command.arg("serve").env(DATABASE, database);
        Self {
            program: Program::start_command(command).await,
            database: database.to_owned(),
        }
    }

    /// Host and port.
    pub(crate) fn addr(&self) -> &str {
        self.program.addr()
    }

    /// Ends the server in an orderly way (SIGTERM), and starts another on the same log and another port.
    pub(crate) async fn restart(mut self) -> Self {
        self.program.terminate().await;
        self.program.wait_exit(Duration::from_secs(20)).await;
        Self::start(&self.database).await
    }

    /// Kills the server (SIGKILL), and starts another on the same log and another port.
    pub(crate) async fn kill_and_start(mut self) -> Self {
        self.program.signal("KILL").await;
        self.program.wait_exit(Duration::from_secs(20)).await;
        Self::start(&self.database).await
    }
}

/// The main function of the child process that is the server; `false` if it could not serve.
pub(crate) async fn run() -> bool {
    match serve().await {
        Ok(()) => true,
        Err(error) => {
            println!("the server failed: {error}");
            false
        }
    }
}

async fn serve() -> Result<(), BoxError> {
    let database = std::env::var(DATABASE)?;
    let topics = Topics::with(SqliteBroker::open(database)?).await?;
    let log = topics.clone();
    Application::new()
        .route(publish)
        .route(topic)
        .route(quiet)
        .route(once)
        .route(failing)
        .route(answer)
        .route(chat)
        .route(failing_chat)
        .route(messages)
        .route(failing_messages)
        .route(page)
        .drain(Drain::default().window(Duration::from_secs(1)))
        // After the last stream, so that what was published is safe before the process ends.
        .on_stop(|| async move { log.close().await })
        .state(topics)
        .run()
        .await?;
    Ok(())
}

#[post("/publish/{topic}", state = Topics)]
async fn publish(
    State(topics): State<Topics>,
    UrlPath(topic): UrlPath<String>,
    Json(texts): Json<Vec<String>>,
) -> Result<&'static str, HttpError> {
    let topic = topics.topic(&topic)?;
    for text in texts {
        topic.publish(&ServerSentEvent::text(text))?.await?;
    }
    Ok("published\n")
}

fn subscribed(
    topics: &Topics,
    topic: &str,
    last: &LastEventId,
) -> Result<ServerEventsResponse, HttpError> {
    let subscribe = topics.topic(topic)?.subscribe();
    // A start that is chosen here wins over the client's id, so none is chosen for a client that comes back.
    let subscribe = match last.as_deref() {
        None | Some("") => subscribe.from_start(),
        Some(_) => subscribe,
    };
    Ok(ServerEventsResponse::new(subscribe.open()?))
}

#[get("/topic/{topic}", state = Topics)]
async fn topic(
    State(topics): State<Topics>,
    UrlPath(topic): UrlPath<String>,
    last: LastEventId,
) -> Result<ServerEventsResponse, HttpError> {
    subscribed(&topics, &topic, &last)
}

#[get("/quiet/{topic}", state = Topics)]
async fn quiet(
    State(topics): State<Topics>,
    UrlPath(topic): UrlPath<String>,
    last: LastEventId,
) -> Result<ServerEventsResponse, HttpError> {
    Ok(subscribed(&topics, &topic, &last)?.keep_alive(Duration::from_secs(1)))
}

#[get("/once", state = Topics)]
async fn once() -> ServerEventsResponse {
    let events = stream!( yield ServerSentEvent::text(numbered(1)).id(1); );
    ServerEventsResponse::new(events).retry(RETRY)
}

#[get("/failing", state = Topics)]
async fn failing() -> ServerEventsResponse {
    let events = stream!(
        yield Ok(ServerSentEvent::text(numbered(1)).id(1));
        yield Ok(ServerSentEvent::text(numbered(2)).id(2));
        // The first write goes out, so that the error is not the answer.
        tokio::time::sleep(Duration::from_millis(200)).await;
        yield Err(no_bells());
    );
    ServerEventsResponse::new(events).retry(RETRY)
}

#[get("/answer", state = Topics)]
async fn answer() -> ServerEventsResponse {
    let events = stream!(for number in 1..=3 {
        yield ServerSentEvent::text(numbered(number));
    });
    ServerEventsResponse::new(events).retry(RETRY).finish()
}

#[post("/v1/chat/completions", state = Topics)]
async fn chat() -> ServerEventsResponse {
    let chunks = stream!(
        for chunk in chat_chunks() {
            yield ServerSentEvent::text(chunk);
        }
        yield ServerSentEvent::text("[DONE]");
    );
    ServerEventsResponse::new(chunks)
}

#[post("/failing/v1/chat/completions", state = Topics)]
async fn failing_chat() -> ServerEventsResponse {
    let chunks = chat_chunks().into_iter().take(3);
    ServerEventsResponse::new(then_fail(chunks.map(ServerSentEvent::text)))
        .error_shape(ErrorShape::OpenAi)
}

#[post("/v1/messages", state = Topics)]
async fn messages() -> Result<ServerEventsResponse, HttpError> {
    let events = named(message_events())?;
    let events = stream!(for event in events {
        yield event;
    });
    Ok(ServerEventsResponse::new(events))
}

#[post("/failing/v1/messages", state = Topics)]
async fn failing_messages() -> Result<ServerEventsResponse, HttpError> {
    let events = named(message_events())?.into_iter().take(4);
    Ok(ServerEventsResponse::new(then_fail(events)).error_shape(ErrorShape::Anthropic))
}

#[get("/page", state = Topics)]
async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// Named events of these names and data.
fn named(events: Vec<(&'static str, String)>) -> Result<Vec<ServerSentEvent>, HttpError> {
    let event = |(name, data)| Ok(ServerSentEvent::text(data).event(EventName::new(name)?));
    events.into_iter().map(event).collect()
}

/// These events, and an error behind them.
fn then_fail(
    events: impl Iterator<Item = ServerSentEvent> + Send,
) -> impl Stream<Item = Result<ServerSentEvent, HttpError>> {
    stream!(
        for event in events {
            yield Ok(event);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        yield Err(no_bells());
    )
}

fn no_bells() -> HttpError {
    HttpError::new(StatusCode::CONFLICT, "the bells are away")
}
