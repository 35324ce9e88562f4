//! A source whose transport leads to a scripted server, and what it yields as plain values.

use std::time::Duration;

use bellwether_client::transport::Io;
use bellwether_client::{EventSource, EventSourceBuilder, HyperTransport, Item, Message, Retry};
use bellwether_testkit::{ScriptedServer, TEST_TIMEOUT, within};
use tokio::time::Instant;

/// One item, comparable.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Connecting,
    Open,
    /// Name, data, last event id.
    Message(String, String, String),
    Gap(String),
    /// The delay, and the message of the cause.
    Waiting(Duration, Option<String>),
    Closed,
    /// The message of an error that ended the source.
    Error(String),
}

pub(crate) fn message(data: &str, id: &str) -> Seen {
    Seen::Message("message".into(), data.into(), id.into())
}

pub(crate) fn waiting(millis: u64) -> Seen {
    Seen::Waiting(Duration::from_millis(millis), None)
}

/// What a source says about a 204, with which each script ends.
pub(crate) fn finished() -> Seen {
    Seen::Error("the server has no more events: it answered with status 204".into())
}

/// A transport that leads to this server, whatever the URL.
pub(crate) fn transport(server: &ScriptedServer) -> HyperTransport {
    let server = server.clone();
    HyperTransport::new().connector(move |_| {
        let pipe = server.connect();
        async { pipe.map(Io::new) }
    })
}

/// A source for `http://example.com/events` that waits without chance.
pub(crate) fn source(server: &ScriptedServer) -> EventSourceBuilder {
    source_for(server, "http://example.com/events")
}

pub(crate) fn source_for(server: &ScriptedServer, url: &str) -> EventSourceBuilder {
    EventSource::builder(url)
        .transport(transport(server))
        .retry(Retry::default().no_jitter())
}

/// The next item.
pub(crate) async fn next(source: &mut EventSource) -> Option<Seen> {
    let item = within(TEST_TIMEOUT, source.next()).await;
    let item = item.unwrap_or_else(|| panic!("waited for an item; {source:?}"));
    Some(match item? {
        Ok(Item::Connecting) => Seen::Connecting,
        Ok(Item::Open(_)) => Seen::Open,
        Ok(Item::Message(Message {
            event,
            data,
            last_event_id,
            ..
        })) => Seen::Message(
            event.as_str().to_owned(),
            data,
            last_event_id.as_str().to_owned(),
        ),
        Ok(Item::Gap(gap)) => Seen::Gap(gap.to_string()),
        Ok(Item::Waiting(waiting)) => Seen::Waiting(
            waiting.delay,
            waiting.cause.as_ref().map(ToString::to_string),
        ),
        Ok(Item::Closed) => Seen::Closed,
        Ok(other) => panic!("unknown item {other:?}"),
        Err(error) => {
            assert!(error.is_closed());
            Seen::Error(error.to_string())
        }
    })
}

/// Everything until the end.
pub(crate) async fn all(source: &mut EventSource) -> Vec<Seen> {
    let mut items = Vec::new();
    while let Some(item) = next(source).await {
        items.push(item);
    }
    // Asking on is allowed, and changes nothing.
    assert_eq!(next(source).await, None);
    items
}

/// The data of all messages until the end.
pub(crate) async fn data(source: &mut EventSource) -> Vec<String> {
    let items = all(source).await.into_iter();
    items
        .filter_map(|item| match item {
            Seen::Message(_, data, _) => Some(data),
            _ => None,
        })
        .collect()
}

/// The time between requests.
pub(crate) fn pauses(server: &ScriptedServer) -> Vec<Duration> {
    let times: Vec<Instant> = server.requests().iter().map(|request| request.at).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The `Last-Event-ID` of each request.
pub(crate) fn ids(server: &ScriptedServer) -> Vec<Option<String>> {
    let requests = server.requests();
    let ids = requests
        .iter()
        .map(|request| request.header("last-event-id"));
    ids.map(|id| id.map(str::to_owned)).collect()
}
