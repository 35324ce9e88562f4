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

/// The retry that ends the stream; what comes before it is whole events.
pub(crate) fn farewell(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap();
    assert!(
        text.ends_with("\n\n"),
        "ends on an event boundary: {text:?}"
    );
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    last.strip_prefix("retry: ")
        .expect("told when to come back")
        .parse()
        .unwrap()
}
