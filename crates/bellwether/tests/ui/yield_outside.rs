//! A `yield` without `stream!`, and a `?` in the `stream!` of items that are no results.

use bellwether::{ServerSentEvent, Stream, get, stream};

#[get("/bare")]
async fn bare() -> impl Stream<Item = ServerSentEvent> {
    yield ServerSentEvent::text("hello");
}

#[get("/question")]
fn question() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        let number: u32 = "7".parse()?;
        yield ServerSentEvent::text(number.to_string());
    )
}

fn main() {}
