//! The client of this project among the others: reads a stream and prints it as their drivers do.

use bellwether_client::{EventSource, Item};
use serde_json::json;

/// Prints each event of `url`, and how the stream ended, as lines of JSON; `false` if the address cannot be used.
pub(crate) async fn run(url: &str) -> bool {
    let mut source = match EventSource::new(url) {
        Ok(source) => source,
        Err(error) => {
            println!("{}", json!({ "end": error.to_string() }));
            return false;
        }
    };
    while let Some(item) = source.next().await {
        match item {
            Ok(Item::Message(message)) => println!(
                "{}",
                json!({
                    "id": message.last_event_id.as_str(),
                    "event": message.event.as_str(),
                    "data": message.data,
                })
            ),
            Ok(Item::Gap(gap)) => {
                let reason = gap.reason.to_string();
                println!("{}", json!({ "event": "bellwether.gap", "data": reason }));
            }
            Ok(_) => {}
            // The end that the server asked for.
            Err(error) if error.is_finished() => {}
            Err(error) => println!("{}", json!({ "end": error.to_string() })),
        }
    }
    println!("{}", json!({ "end": "over" }));
    true
}
