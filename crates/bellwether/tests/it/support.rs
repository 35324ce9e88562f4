//! What the tests over real sockets share.

use std::net::SocketAddr;

use bellwether::{Application, Listener, Running};

/// Serves on a free port of the loopback.
pub(crate) async fn serve(application: Application) -> (Running, SocketAddr) {
    let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
    let running = application.start(listener).await.unwrap();
    let address = running.address().socket_addr().unwrap();
    (running, address)
}

/// What a stream sends behind the line `retry: …` with which every stream begins.
pub(crate) fn after_retry(text: &str) -> &str {
    let line = text
        .strip_prefix("retry: ")
        .expect("a stream begins with its retry");
    let (millis, rest) = line.split_once('\n').expect("a whole line");
    millis.parse::<u64>().expect("a number of milliseconds");
    rest
}

/// The retry that ends the stream; what comes before it is whole events.
pub(crate) fn closing_retry(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap();
    let (events, last) = text.rsplit_once("retry: ").expect("told when to come back");
    let is_boundary = events.is_empty() || events.ends_with("\n\n") || events.ends_with(":\n");
    assert!(is_boundary, "ends on an event boundary: {text:?}");
    last.strip_suffix('\n')
        .expect("a whole line")
        .parse()
        .unwrap()
}
