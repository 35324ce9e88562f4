//! `bellwether serve`: a small hub for development: topics, a page that looks into them, and static files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use bellwether::{
    Application, EventName, HttpError, Json, ServerSentEvent, Subscription, Topic, Topics, get,
    post,
};
use serde::{Deserialize, Serialize};

use crate::exit::{self, Failure, REFUSED};

const INSPECTOR: &str = include_str!("inspector.html");

/// Scripts and styles stand in the page itself, and it talks to nobody but this server.
const INSPECTOR_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// The page lists no more topics than this; the others work all the same.
const MAX_LISTED_TOPICS: usize = 1000;

/// As large as a body may be, and what the stream adds to it.
const MAX_EVENT_BYTES: usize = 2 * 1024 * 1024;

/// Serve topics, a page to look into them, and static files.
///
/// GET /events?topic=T streams a topic and resumes after Last-Event-ID; POST /publish?topic=T publishes the body and
/// answers with the event's id (`&event=NAME` names the event). The inspector is at /, or at /inspector where DIR has an
/// index.html. Events are kept in memory and end with the process. For development: whoever reaches the address can
/// read and publish, and it is this machine alone unless --bind says otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether serve
  bellwether serve ./public --bind 127.0.0.1:9000
  echo hello | bellwether send :8000 --topic news

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 it cannot be served, 2 wrong usage.")]
pub(crate) struct Arguments {
    /// A folder of static files
    dir: Option<PathBuf>,

    /// The address to listen on [default: HOST and PORT of the environment, else 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(REFUSED, format_args!("cannot start: {error}")))?;
    let served = runtime.block_on(application(arguments).run());
    served.map_err(|error| Failure::new(REFUSED, exit::with_causes(&error)))?;
    Ok(ExitCode::SUCCESS)
}

fn application(arguments: &Arguments) -> Application {
    let mut application = Application::<Hub>::new()
        .route(events)
        .route(publish)
        .route(topics)
        .route(inspector);
    let has_index = arguments
        .dir
        .as_ref()
        .is_some_and(|dir| dir.join("index.html").is_file());
    if !has_index {
        application = application.route(start_page);
    }
    if let Some(dir) = &arguments.dir {
        application = application.serve_files(dir);
    }
    if let Some(address) = &arguments.bind {
        application = application.bind(address);
    }
    application.state(Hub::new())
}

#[derive(Clone)]
struct Hub {
    topics: Topics,
    /// Guards the topics that were asked for so far; held for no longer than one look.
    seen: Arc<Mutex<BTreeMap<String, Topic>>>,
}

impl Hub {
    fn new() -> Self {
        Self {
            topics: Topics::builder().max_event_bytes(MAX_EVENT_BYTES).build(),
            seen: Arc::default(),
        }
    }

    fn topic(&self, name: &str) -> Result<Topic, HttpError> {
        let topic = self.topics.topic(name)?;
        let mut seen = self.seen();
        if seen.len() < MAX_LISTED_TOPICS {
            seen.insert(name.to_owned(), topic.clone());
        }
        Ok(topic)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Topic>> {
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Asked {
    topic: String,
    event: Option<String>,
}

#[get("/events", state = Hub)]
async fn events(
    State(hub): State<Hub>,
    Query(asked): Query<Asked>,
) -> Result<Subscription, HttpError> {
    Ok(hub.topic(&asked.topic)?.subscribe().open()?)
}

#[post("/publish", state = Hub)]
async fn publish(
    State(hub): State<Hub>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: String,
) -> Result<String, HttpError> {
    if is_foreign(&headers) {
        let reason = "a page of another site must not publish";
        return Err(HttpError::new(StatusCode::FORBIDDEN, reason));
    }
    let mut event = ServerSentEvent::text(body);
    if let Some(name) = asked.event.filter(|name| !name.is_empty()) {
        let name = EventName::new(name)
            .map_err(|error| HttpError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        event = event.event(name);
    }
    let cursor = hub.topic(&asked.topic)?.publish(&event)?.await?;
    Ok(cursor.to_string())
}

/// Whether a browser sends this for a page from elsewhere: any page may post text to this machine without asking.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[derive(Serialize)]
struct Listed {
    name: String,
    readers: usize,
}

#[get("/topics", state = Hub)]
async fn topics(State(hub): State<Hub>) -> Json<Vec<Listed>> {
    let seen = hub.seen();
    let listed = seen.iter().map(|(name, topic)| Listed {
        name: name.clone(),
        readers: topic.subscriber_count(),
    });
    Json(listed.collect())
}

#[get("/inspector", state = Hub)]
async fn inspector() -> impl IntoResponse {
    page()
}

#[get("/", state = Hub)]
async fn start_page() -> impl IntoResponse {
    page()
}

fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, INSPECTOR_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, INSPECTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_the_page_itself_may_publish_and_other_sites_may_not() {
        let headers = |site: Option<&'static str>| {
            let site = site.map(|site| (header::HeaderName::from_static("sec-fetch-site"), site));
            site.into_iter()
                .map(|(name, site)| (name, header::HeaderValue::from_static(site)))
                .collect::<HeaderMap>()
        };
        assert!(!is_foreign(&headers(None)));
        assert!(!is_foreign(&headers(Some("same-origin"))));
        assert!(!is_foreign(&headers(Some("none"))));
        assert!(is_foreign(&headers(Some("cross-site"))));
        assert!(is_foreign(&headers(Some("same-site"))));
    }
}
