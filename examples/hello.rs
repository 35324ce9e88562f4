//! The shortest program: a route that is a generator of events.
fn main() {}
