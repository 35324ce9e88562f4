//! Subscriptions as responses: what holds on the ordinary path and on that of the delivery engine alike.

mod closing;
mod resuming;
mod sending;
mod slow;

use std::net::SocketAddr;
use std::time::Duration;

use bellwether::{
    Application, CloseReason, HttpError, Running, ServerSentEvent, StreamDefaults, Subscribe,
    Subscription, Topic, Topics, get,
};
use bellwether_testkit::{RawClient, TEST_TIMEOUT, eventually};

use crate::support::serve;

/// Bounds how long a broken test hangs; nothing waits for it to pass.
pub(crate) const SOON: Duration = TEST_TIMEOUT;

/// Who sends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Engine,
    Body,
}

impl Path {
    pub(crate) const BOTH: [Self; 2] = [Self::Engine, Self::Body];

    /// An application whose streams take this path, without keep-alives.
    pub(crate) fn application(self) -> Application {
        let defaults = StreamDefaults::new().no_keep_alive();
        Application::new().streams(self.defaults(defaults))
    }

    pub(crate) fn defaults(self, defaults: StreamDefaults) -> StreamDefaults {
        match self {
            Self::Engine => defaults,
            Self::Body => defaults.no_engine(),
        }
    }

    /// How many of these streams the engine takes.
    pub(crate) fn taken(self, streams: u64) -> u64 {
        match self {
            Self::Engine if cfg!(target_os = "linux") => streams,
            _ => 0,
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
pub(crate) fn publish(topic: &Topic, text: impl ToString) {
    let event = ServerSentEvent::text(text.to_string());
    drop(topic.publish(&event).unwrap());
}

/// A route that subscribes to a topic, as `set` says.
pub(crate) fn subscribes(
    application: Application,
    topic: &Topic,
    set: impl Fn(Subscribe) -> Subscribe + Clone + Send + Sync + 'static,
) -> Application {
    let topic = topic.clone();
    let handler = move || -> Result<Subscription, HttpError> { Ok(set(topic.subscribe()).open()?) };
    application.route(("/", get(handler)))
}

pub(crate) async fn serve_topic(path: Path, topic: &Topic) -> (Running, SocketAddr) {
    serve(subscribes(path.application(), topic, |subscribe| subscribe)).await
}

/// A client whose subscription has begun.
pub(crate) async fn open(address: SocketAddr, running: &Running) -> RawClient {
    let before = running.streams().opened;
    let mut client = RawClient::connect_and_get(address, "/").await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(running.streams().opened, before + 1);
    client
}

pub(crate) async fn closed_for(running: &Running, reason: CloseReason) {
    eventually("the streams to close", SOON, || running.streams().open == 0).await;
    let streams = running.streams();
    assert_eq!(streams.closed(reason), streams.opened, "{streams:?}");
}

pub(crate) fn news() -> (Topics, Topic) {
    let topics = Topics::new();
    let news = topics.topic("news").unwrap();
    (topics, news)
}
