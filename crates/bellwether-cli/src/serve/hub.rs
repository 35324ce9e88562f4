//! [`Hub`]: the routes of `bellwether serve`: reading, publishing, the list of topics, readiness, the inspector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use bellwether::{
    Application, Cursor, EventName, HttpError, Json, PublishOptions, ServerSentEvent, Subscription,
    Topic, Topics, get, post,
};
use serde::{Deserialize, Serialize};

use crate::exit;

const INSPECTOR: &str = include_str!("inspector.html");

/// Scripts and styles stand in the page itself, and it connects to this server only.
const INSPECTOR_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// The page lists no more topics than this; the others work all the same.
const MAX_LISTED_TOPICS: usize = 1000;

/// Under which a publish that is sent again publishes once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What the routes share.
#[derive(Clone)]
pub(super) struct Hub {
    topics: Topics,
    /// Guards the topics that were asked for so far; held for no longer than one look.
    seen: Arc<Mutex<BTreeMap<String, Topic>>>,
}

/// The routes on these topics; the inspector is the start page unless there is another.
pub(super) fn application(topics: Topics, has_index: bool) -> Application {
    let mut application = Application::<Hub>::new()
        .route(events().sample_query("topic=news"))
        .route(publish)
        .route(list)
        .route(inspector)
        .health("/ready")
        .liveness("/healthz");
    if !has_index {
        application = application.route(start_page);
    }
    let broker = topics.clone();
    application = application.ready_while(move || broker.is_ready(), "the broker is away");
    application.state(Hub {
        topics,
        seen: Arc::default(),
    })
}

impl Hub {
    fn topic(&self, name: &str) -> Result<Topic, bellwether_topics::Error> {
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
struct TopicQuery {
    topic: String,
    event: Option<String>,
}

#[get("/events", state = Hub)]
async fn events(
    State(hub): State<Hub>,
    Query(asked): Query<TopicQuery>,
) -> Result<Subscription, HttpError> {
    Ok(hub.topic(&asked.topic)?.subscribe().open()?)
}

#[post("/publish", state = Hub)]
async fn publish(
    State(hub): State<Hub>,
    Query(asked): Query<TopicQuery>,
    headers: HeaderMap,
    body: String,
) -> Result<String, (StatusCode, String)> {
    if is_foreign(&headers) {
        let reason = "a page of another site must not publish\n";
        return Err((StatusCode::FORBIDDEN, reason.to_owned()));
    }
    let mut event = ServerSentEvent::text(body);
    if let Some(name) = asked.event.filter(|name| !name.is_empty()) {
        let name = EventName::new(name)
            .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
        event = event.event(name);
    }
    let key = match headers.get(IDEMPOTENCY_KEY).map(|key| key.to_str()) {
        Some(Err(_)) => {
            let reason = "the idempotency key has to be printable ASCII\n";
            return Err((StatusCode::BAD_REQUEST, reason.to_owned()));
        }
        // An empty field is no key: two messages without one are two messages.
        Some(Ok("")) | None => None,
        Some(Ok(key)) => Some(key),
    };
    let cursor = append(&hub, &asked.topic, key, &event).await;
    cursor
        .map(|cursor| cursor.to_string())
        .map_err(|error| not_published(&error))
}

async fn append(
    hub: &Hub,
    topic: &str,
    key: Option<&str>,
    event: &ServerSentEvent,
) -> Result<Cursor, bellwether_topics::Error> {
    let mut options = PublishOptions::new();
    if let Some(key) = key {
        options = options.idempotency_key(key);
    }
    hub.topic(topic)?.publish_with(options, event)?.await
}

/// Status and text for a publisher, who has to know whether to try again and may do so with the same key.
fn not_published(error: &bellwether_topics::Error) -> (StatusCode, String) {
    if error.is_invalid() {
        let status = match error.is_too_large() {
            true => StatusCode::PAYLOAD_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        };
        return (status, format!("{}\n", exit::with_causes(error)));
    }
    let advice = match error.is_unavailable() {
        true => "; the event may have been published: send it again with the same idempotency key",
        false => "; the event was not published",
    };
    // The causes name the broker's address and state, which clients must not see.
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{error}{advice}\n"),
    )
}

/// Whether a browser sends this for a page from elsewhere: any page may post text to this machine without asking.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[derive(Serialize)]
struct TopicEntry {
    name: String,
    readers: usize,
}

#[get("/topics", state = Hub)]
async fn list(State(hub): State<Hub>) -> Json<Vec<TopicEntry>> {
    let seen = hub.seen();
    let listed = seen.iter().map(|(name, topic)| TopicEntry {
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
