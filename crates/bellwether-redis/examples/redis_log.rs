//! Two nodes that share one log: what one publishes, readers of the other get, also after they were away.
//!
//! Run: `cargo run -p bellwether-redis --example redis_log [redis://127.0.0.1:6379]`.

#![allow(clippy::print_stdout, reason = "the program shows what it does")]

use std::error::Error;

use bellwether_redis::RedisBroker;
use bellwether_topics::{ServerSentEvent, Topics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());

    // In practice these are two processes on two machines.
    let node = async || {
        let broker = RedisBroker::builder(&url).name("example").connect().await?;
        Ok::<_, Box<dyn Error>>(Topics::with(broker).await?)
    };
    let (here, there) = (node().await?, node().await?);

    let mut reader = there.topic("orders")?.subscribe().from_now().open()?;
    let orders = here.topic("orders")?;
    for number in 1..=2 {
        let event = ServerSentEvent::text(format!("order {number}"));
        println!("published {}", orders.publish(&event)?.await?);
    }

    let first = reader
        .next()
        .await
        .and_then(|delivery| delivery.into_frame());
    let first = first.ok_or("the stream has ended")?;
    println!("read      {}", first.cursor());
    drop(reader);

    // The reader comes back to the other node, with the id that it had last.
    let mut reader = orders.subscribe().after(first.id().as_str()).open()?;
    let second = reader
        .next()
        .await
        .and_then(|delivery| delivery.into_frame());
    let second = second.ok_or("the stream has ended")?;
    println!("read      {}", second.cursor());
    assert!(second.bytes().starts_with(b"data: order 2\n"));

    here.close().await?;
    there.close().await?;
    Ok(())
}
