//! An argument that is no extractor.

use bellwether::{ServerSentEvent, Stream, get, stream};

#[get("/count")]
fn count(from: u32) -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::json(from);
    )
}

fn main() {}
