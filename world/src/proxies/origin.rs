//! The server behind the proxies: a real Bellwether program, which reports who still reads.
//!
//! | route | says |
//! |---|---|
//! | `GET /stream/{name}` | what a generator yields: `first` ms, then `count` events of `size` bytes, `pause` ms apart |
//! | `GET /topic/{name}` | the topic from its beginning, or behind the client's last id |
//! | `POST /topic/{name}` | publishes as many events as the body says |
//! | `GET /readers/{name}` | how many streams of that name are open |
//!
//! Both kinds of stream take `keep` (ms), the silence before a keep-alive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path as UrlPath, Query, State};
use bellwether::{
    Application, BoxError, Drain, HttpError, LastEventId, ServerEventsResponse, ServerSentEvent,
    Topic, Topics, get, post, stream,
};
use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::Program;
use serde::Deserialize;
use tokio::process::Command;

/// The prefix of the names of topics that outlive the server.
pub(super) const KEPT: &str = "kept";

/// The file of the log.
const DATABASE: &str = "WORLD_DATABASE";

/// Starts a server on a log in this file, which may exist, on this port; 0 lets the system pick one.
pub(super) async fn start(database: &Path, port: u16) -> Program {
    let program = std::env::current_exe().expect("a program knows its own file");
    let mut command = Command::new(program);
    command.arg("origin");
    command.env(DATABASE, database);
    command.env("PORT", port.to_string());
    Program::start_command(command).await
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

/// Microseconds since 1970, the time in each event's data.
pub(super) fn micros() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}

async fn serve() -> Result<(), BoxError> {
    let kept = Topics::with(SqliteBroker::open(std::env::var(DATABASE)?)?).await?;
    let log = kept.clone();
    Application::new()
        .route(generator)
        .route(topic)
        .route(publish)
        .route(readers)
        .drain(Drain::default().window(Duration::from_secs(1)))
        .on_stop(|| async move { log.close().await })
        .state(Origin {
            topics: Topics::new(),
            kept,
            open: Open::default(),
        })
        .run()
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Origin {
    /// In memory, so that a busy disk does not show as a slow proxy.
    topics: Topics,
    /// Topics that outlive the process.
    kept: Topics,
    open: Open,
}

impl Origin {
    fn topic(&self, name: &str) -> Result<Topic, HttpError> {
        let topics = match name.starts_with(KEPT) {
            true => &self.kept,
            false => &self.topics,
        };
        Ok(topics.topic(name)?)
    }
}

/// How many generators of each name are alive. Locked for one step, never across an await.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<BTreeMap<String, usize>>>);

impl Open {
    fn enter(&self, name: String) -> Guard {
        self.change(&name, |count| count + 1);
        let open = self.clone();
        Guard { open, name }
    }

    fn change(&self, name: &str, step: fn(usize) -> usize) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.to_owned()).or_default();
        *count = step(*count);
        *count
    }
}

/// Counts a generator for as long as it lives.
struct Guard {
    open: Open,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.open
            .change(&self.name, |count| count.saturating_sub(1));
    }
}

/// What a stream is to do; times in milliseconds.
#[derive(Deserialize)]
#[serde(default)]
struct Wanted {
    first: u64,
    pause: u64,
    count: usize,
    size: usize,
    keep: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            first: 0,
            pause: 0,
            count: 0,
            size: 0,
            keep: 15_000,
        }
    }
}

impl Wanted {
    fn keep(&self) -> Duration {
        Duration::from_millis(self.keep)
    }
}

#[get("/stream/{name}", state = Origin)]
async fn generator(
    State(origin): State<Origin>,
    UrlPath(name): UrlPath<String>,
    Query(wanted): Query<Wanted>,
) -> ServerEventsResponse {
    let guard = origin.open.enter(name);
    let keep = wanted.keep();
    let events = stream!(
        let _guard = guard;
        tokio::time::sleep(Duration::from_millis(wanted.first)).await;
        for number in 0..wanted.count {
            if number > 0 {
                tokio::time::sleep(Duration::from_millis(wanted.pause)).await;
            }
            yield ServerSentEvent::text(padded(wanted.size)).id(number);
        }
        if wanted.count == 0 {
            std::future::pending::<()>().await;
        }
    );
    ServerEventsResponse::new(events).keep_alive(keep)
}

/// When it was made, and as much behind it as makes it so long; the padding does not compress to nothing.
fn padded(size: usize) -> String {
    let mut text = format!("sent {}", micros());
    let mut word = 7_u32;
    while text.len() < size {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!(" {word:x}"));
    }
    text
}

#[get("/topic/{name}", state = Origin)]
async fn topic(
    State(origin): State<Origin>,
    UrlPath(name): UrlPath<String>,
    Query(wanted): Query<Wanted>,
    last: LastEventId,
) -> Result<ServerEventsResponse, HttpError> {
    let subscribe = origin.topic(&name)?.subscribe();
    // A start that is chosen here wins over the client's id, so none is chosen for a client that comes back.
    let subscribe = match last.as_deref() {
        None | Some("") => subscribe.from_start(),
        Some(_) => subscribe,
    };
    Ok(ServerEventsResponse::new(subscribe.open()?).keep_alive(wanted.keep()))
}

#[post("/topic/{name}", state = Origin)]
async fn publish(
    State(origin): State<Origin>,
    UrlPath(name): UrlPath<String>,
    count: String,
) -> Result<&'static str, HttpError> {
    let topic = origin.topic(&name)?;
    let count = count.trim().parse().unwrap_or(0_usize);
    let publish = |_| topic.publish(&ServerSentEvent::text(padded(0)));
    // All are on their way before the first answer is awaited, so that they share commits.
    for published in (0..count).map(publish).collect::<Vec<_>>() {
        published?.await?;
    }
    Ok("published\n")
}

#[get("/readers/{name}", state = Origin)]
async fn readers(
    State(origin): State<Origin>,
    UrlPath(name): UrlPath<String>,
) -> Result<String, HttpError> {
    let subscribed = origin.topic(&name)?.subscriber_count();
    Ok((subscribed + origin.open.change(&name, |count| count)).to_string())
}
