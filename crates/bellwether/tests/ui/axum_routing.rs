//! A function that streams events, given to axum's own `get`.

use axum::Router;
use bellwether::{ServerSentEvent, Stream, stream};

fn count() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::json(1);
    )
}

fn main() {
    let _: Router = Router::new().route("/count", axum::routing::get(count));
}
