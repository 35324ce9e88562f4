//! `eventsource-client URL`: prints each event that the crate of this name hands over.

use eventsource_client::{Client, ClientBuilder, Error, SSE};
use futures_util::StreamExt;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the address of a stream");
    let builder = ClientBuilder::for_url(&url).expect("the address is one");
    let mut stream = builder.build_http().stream();
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => println!(
                "{}",
                json!({ "id": event.id, "event": event.event_type, "data": event.data })
            ),
            Ok(_) => {}
            // The client comes back after an end on its own, and ends at a status that it takes for final.
            Err(error @ Error::UnexpectedResponse(..)) => {
                println!("{}", json!({ "end": "UnexpectedResponse", "message": error.to_string() }));
            }
            Err(_) => {}
        }
    }
    println!("{}", json!({ "end": "over" }));
}
