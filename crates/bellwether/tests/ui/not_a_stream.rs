//! A return type that is neither a stream nor a response.

struct Numbers;

fn numbers() -> Numbers {
    Numbers
}

fn main() {
    let _: axum::Router = axum::Router::new().route("/", bellwether::get(numbers));
}
