//! A way to the server: its connections can go dead without being closed, as when a firewall forgets them, and it can
//! lead to another server, as an address does after a failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections to a port of this machine, until it is dropped.
pub(crate) struct Relay {
    port: u16,
    /// Where new connections lead.
    target: Arc<AtomicU16>,
    /// How often everything that was connected went dead.
    deaths: Arc<watch::Sender<u32>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let deaths = Arc::new(watch::Sender::new(0));
        let seen = deaths.clone();
        let target = Arc::new(AtomicU16::new(port));
        let port = target.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let mut death = seen.subscribe();
                let port = port.load(Ordering::Acquire);
                tokio::spawn(async move {
                    let there = TcpStream::connect(("127.0.0.1", port)).await;
                    // Nobody there: the other side sees its connection closed.
                    let Ok(mut there) = there else { return };
                    tokio::select! {
                        biased;
                        // From here on nothing is read, written or closed.
                        Ok(()) = death.changed() => std::future::pending().await,
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                    }
                });
            }
        });
        Self {
            port: own_port,
            target,
            deaths,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// New connections lead to this port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Release);
    }

    /// What is connected now stays open and silent for ever; new connections work.
    pub(crate) fn deaden(&self) {
        self.deaths.send_modify(|deaths| *deaths += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
