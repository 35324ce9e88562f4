//! Each example, started as a user starts it, gives what its first lines promise.

mod broadcast;
mod browser;
mod browser_events;
mod browser_page;
mod browser_restart;
mod browser_topics;
mod chat;
mod dashboard;
mod feeds;
mod llm_tokens;
mod long_polling;
mod pages;
mod server_sent_events;

use bellwether_testkit::{Program, RawClient, example_path};
use serde_json::Value;

/// Starts an example on a free port.
async fn started(name: &str) -> Program {
    Program::start(example_path(name), &[]).await
}

/// The data of the next event, read as JSON.
async fn next_json(client: &mut RawClient) -> Value {
    let event = client.next_event().await.expect("the stream goes on");
    serde_json::from_str(&event.data).expect("the data is JSON")
}
