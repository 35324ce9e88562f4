//! A TCP proxy to the server. Its connections can freeze without being closed, as when a firewall forgets them. It can
//! also lead to another server, as an address does after a failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections to a port of this machine, until it is dropped.
pub(crate) struct TcpProxy {
    port: u16,
    /// The port that new connections lead to.
    target: Arc<AtomicU16>,
    /// Counts how often all connections were frozen.
    freezes: Arc<watch::Sender<u32>>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let freezes = Arc::new(watch::Sender::new(0));
        let seen = freezes.clone();
        let target = Arc::new(AtomicU16::new(port));
        let port = target.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let mut frozen = seen.subscribe();
                let port = port.load(Ordering::Acquire);
                tokio::spawn(async move {
                    let there = TcpStream::connect(("127.0.0.1", port)).await;
                    // No server listens there, so the client sees its connection closed.
                    let Ok(mut there) = there else { return };
                    tokio::select! {
                        biased;
                        // From here on nothing is read, written or closed.
                        Ok(()) = frozen.changed() => std::future::pending().await,
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                    }
                });
            }
        });
        Self {
            port: own_port,
            target,
            freezes,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Makes new connections lead to this port.
    pub(crate) fn redirect_to(&self, port: u16) {
        self.target.store(port, Ordering::Release);
    }

    /// Freezes the present connections: they stay open and silent. New connections work.
    pub(crate) fn freeze(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
