//! A generator that holds what must not leave its thread.

use std::rc::Rc;

use bellwether::{ServerSentEvent, Stream, get, stream};

fn counted() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        let count = Rc::new(1);
        yield ServerSentEvent::json(*count);
        drop(count);
    )
}

fn main() {
    let _: axum::Router = axum::Router::new().route("/", get(counted));
}
