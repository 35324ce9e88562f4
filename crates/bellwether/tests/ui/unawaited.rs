//! The outcome of a publish, thrown away.

#![deny(unused_must_use)]

use bellwether::{ServerSentEvent, Topics};

fn main() -> bellwether::Result<()> {
    let news = Topics::new().topic("news")?;
    news.publish(&ServerSentEvent::text("hello"))?;
    Ok(())
}
