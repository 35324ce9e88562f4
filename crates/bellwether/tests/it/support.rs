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
