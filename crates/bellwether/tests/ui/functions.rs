//! Items that the attributes refuse.

use bellwether::get;

struct Feed;

impl Feed {
    #[get("/method")]
    fn method(&self) {}
}

#[get("/generic")]
fn generic<T: Default>() -> T {
    T::default()
}

#[get("/argument")]
fn argument(_: impl Send) {}

#[get("/struct")]
struct NotAFunction;

fn main() {}
