//! Two nodes on one log: a reader moves from one to the other and misses nothing.
//!
//! Run: `nats-server -js`, then `cargo run -p bellwether-nats --example nats_log [nats://127.0.0.1:4222]`.

#![allow(clippy::print_stdout, reason = "the program shows what it does")]

use std::error::Error;

use bellwether_nats::NatsBroker;
use bellwether_topics::{ServerSentEvent, Subscription, Topics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    for line in run(address.as_deref().unwrap_or("nats://127.0.0.1:4222")).await? {
        println!("{line}");
    }
    Ok(())
}

/// The lines of the output.
pub async fn run(address: &str) -> Result<Vec<String>, Box<dyn Error>> {
    // In practice these are two processes on two machines.
    let north = node(address).await?;
    let south = node(address).await?;
    let mut lines = Vec::new();

    let mut reader = north.topic("weather")?.subscribe().from_now().open()?;
    let weather = south.topic("weather")?;
    for text in ["sun", "rain", "snow"] {
        let id = weather.publish(&ServerSentEvent::text(text))?.await?;
        lines.push(format!("south published {text} as {id}"));
    }
    let last_event_id = show(&mut reader, "north", &mut lines).await?;
    drop(reader);

    let mut reader = weather.subscribe().after(last_event_id.as_str()).open()?;
    show(&mut reader, "south", &mut lines).await?;
    show(&mut reader, "south", &mut lines).await?;

    north.close().await?;
    south.close().await?;
    Ok(lines)
}

async fn node(address: &str) -> Result<Topics, Box<dyn Error>> {
    let builder = NatsBroker::builder(address).stream("example");
    Ok(Topics::with(builder.connect().await?).await?)
}

async fn show(
    reader: &mut Subscription,
    node: &str,
    lines: &mut Vec<String>,
) -> Result<String, Box<dyn Error>> {
    let delivery = reader.next().await.ok_or("the stream has ended")?;
    let frame = delivery.into_frame().ok_or("there is a gap")?;
    let text = String::from_utf8_lossy(frame.as_bytes());
    let data = text.lines().find(|line| line.starts_with("data: "));
    lines.push(format!(
        "a reader of {node} got {}",
        data.unwrap_or_default()
    ));
    Ok(frame.id().as_str().to_owned())
}
