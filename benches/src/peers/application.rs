//! An application of Bellwether as a peer: on a free port, announced, and served until the process ends.

use std::future::pending;
use std::io;

use bellwether::{Application, Listener};

/// What the application does not set is the default.
pub(super) async fn serve(application: Application) -> io::Result<()> {
    serve_at(application, Listener::tcp("127.0.0.1:0").await?).await
}

/// The same on a listener of the peer's own.
pub(super) async fn serve_at(application: Application, listener: Listener) -> io::Result<()> {
    let running = application
        .start(listener)
        .await
        .map_err(io::Error::other)?;
    let address = running
        .address()
        .socket_addr()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    super::announce(address)?;
    pending().await
}
