//! [`Side`]: a server to try a client with, Bellwether's or the minimal one, behind a proxy with a fixed address.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_testkit::RawClient;

use crate::minimal::Minimal;
use crate::server::Server;
use crate::table::scratch;
use crate::tcp_proxy::TcpProxy;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Bellwether,
    Minimal,
}

/// A running server behind a proxy. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) tcp_proxy: TcpProxy,
    /// `None` only while the next one is started.
    behind: Option<Behind>,
    /// The folder of the log, which has nothing else.
    folder: PathBuf,
}

#[derive(Debug)]
enum Behind {
    Bellwether(Box<Server>),
    Minimal(Minimal),
}

impl Side {
    pub(crate) async fn start(which: Which) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = scratch().join(format!("log-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for logs can be made");
        let behind = match which {
            Which::Bellwether => {
                Behind::Bellwether(Box::new(Server::start(&folder.join("log.sqlite")).await))
            }
            Which::Minimal => Behind::Minimal(Minimal::start().await),
        };
        Self {
            tcp_proxy: TcpProxy::start(&behind.addr()).await,
            behind: Some(behind),
            folder,
        }
    }

    /// The address of a route, for clients.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.tcp_proxy.addr())
    }

    /// Publishes these texts, each as an event, and waits until they are in the log.
    pub(crate) async fn publish(&self, topic: &str, texts: &[String]) {
        let body = serde_json::to_string(texts).expect("texts are JSON");
        let addr = self.behind.as_ref().map(Behind::addr).unwrap_or_default();
        let mut client = RawClient::connect(addr).await;
        let request = format!(
            "POST /publish/{topic} HTTP/1.1\r\nhost: world\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(request).await;
        let status = client.read_head().await.status;
        assert_eq!(status, 200, "the events are published");
    }

    /// Ends all streams in an orderly way and has another server come up, as at a deployment.
    pub(crate) async fn restart(&mut self) {
        self.change(false).await;
    }

    /// Kills the server and has another come up. The minimal one only loses its connections.
    pub(crate) async fn kill(&mut self) {
        self.change(true).await;
    }

    async fn change(&mut self, is_killed: bool) {
        let behind = match self.behind.take() {
            Some(Behind::Bellwether(server)) if is_killed => {
                Behind::Bellwether(Box::new(server.kill_and_start().await))
            }
            Some(Behind::Bellwether(server)) => {
                Behind::Bellwether(Box::new(server.restart().await))
            }
            Some(Behind::Minimal(minimal)) => {
                match is_killed {
                    true => self.tcp_proxy.cut_now(),
                    false => minimal.end_streams(),
                }
                Behind::Minimal(minimal)
            }
            None => return,
        };
        self.tcp_proxy.set_target(&behind.addr());
        self.behind = Some(behind);
    }
}

impl Behind {
    fn addr(&self) -> String {
        match self {
            Self::Bellwether(server) => server.addr().to_owned(),
            Self::Minimal(minimal) => minimal.addr().to_string(),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.behind = None;
        // Files that are left do no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
