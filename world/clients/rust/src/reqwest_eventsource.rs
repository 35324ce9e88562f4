//! `reqwest-eventsource URL`: prints each event that the crate of this name hands over.

use futures_util::StreamExt;
use reqwest_eventsource::{Event, EventSource, ReadyState};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the address of a stream");
    let mut source = EventSource::get(url);
    while let Some(event) = source.next().await {
        match event {
            Ok(Event::Open) => {}
            Ok(Event::Message(message)) => println!(
                "{}",
                json!({ "id": message.id, "event": message.event, "data": message.data })
            ),
            // The client comes back after most errors on its own.
            Err(error) if source.ready_state() == ReadyState::Closed => {
                println!("{}", json!({ "end": "closed", "message": error.to_string() }));
            }
            Err(_) => {}
        }
    }
    println!("{}", json!({ "end": "over" }));
}
