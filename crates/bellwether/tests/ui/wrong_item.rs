//! A stream of something that is no event.

use bellwether::{Stream, get, stream};

fn numbers() -> impl Stream<Item = u32> {
    stream!(
        yield 1;
    )
}

#[get("/numbers")]
async fn more_numbers() -> impl Stream<Item = u32> {
    numbers()
}

fn main() {
    let _: axum::Router = axum::Router::new().route("/", bellwether::get(numbers));
}
