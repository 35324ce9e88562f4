//! [`TcpProxy`]: a TCP proxy with a fixed address, which cuts connections at planned positions.
//!
//! Clients talk to its address while servers behind it come and go. It also keeps the head of each request, so that
//! reconnects can be counted and timed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Where a connection is cut: a number of bytes behind the end of a text in what the server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) text: String,
    pub(crate) bytes: usize,
}

/// A request that came through.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// Its first bytes, up to the end of the head.
    pub(crate) head: String,
    /// When the last byte of an answer to it came, or its connection ended; `None` before.
    pub(crate) last: Option<Instant>,
}

/// A proxy; dropping it ends it and its connections.
#[derive(Debug)]
pub(crate) struct TcpProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Changes when all connections are to be cut; its end ends the proxy.
    cut: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The target, the plan and the requests. Held for a read or a change, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    target: String,
    cuts: VecDeque<Cut>,
    requests: Vec<Request>,
}

impl TcpProxy {
    /// Listens on loopback and passes connections on to `target`, a host and port.
    pub(crate) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::<Shared>::default();
        target.clone_into(&mut shared.state().target);
        let (cut, cuts) = watch::channel(0);
        tokio::spawn(accept(listener, Arc::clone(&shared), cuts));
        Self { addr, shared, cut }
    }

    /// Host and port for clients.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Makes new connections lead to another address.
    pub(crate) fn set_target(&self, target: &str) {
        target.clone_into(&mut self.shared.state().target);
    }

    /// Plans cuts, each for one connection: the first for the next one, and so on. Connections beyond are left alone.
    pub(crate) fn plan(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.shared.state().cuts = cuts.into_iter().collect();
    }

    /// Cuts every connection now.
    pub(crate) fn cut_now(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut cuts: watch::Receiver<u64>) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => continue,
            },
            // Seen once per cut, and for good when the proxy is dropped.
            changed = cuts.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let (shared, cuts) = (Arc::clone(&shared), cuts.clone());
        tokio::spawn(async move {
            // A failed connection is an end like any other.
            let _ = pass(client, &shared, cuts).await;
        });
    }
}

/// Forwards bytes both ways until one side ends, or the plan or the proxy's owner ends it.
async fn pass(
    mut client: TcpStream,
    shared: &Shared,
    mut cuts: watch::Receiver<u64>,
) -> std::io::Result<()> {
    cuts.borrow_and_update();
    let target = shared.state().target.clone();
    // Nothing behind us: the client sees its connection end, as with a server that is away.
    let mut server = TcpStream::connect(target).await?;
    let mut heads = Heads::default();
    let mut sent = Sent::default();
    let mut request = None;
    let (mut from_client, mut from_server) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            // First, so that nothing that is sent after a cut still passes.
            biased;
            _ = cuts.changed() => return Ok(()),
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                for head in heads.push(bytes) {
                    let mut state = shared.state();
                    request = Some(state.requests.len());
                    state.requests.push(Request { at: Instant::now(), head, last: None });
                    // Each request for a stream takes the next cut; others have none of its text.
                    if sent.cut.is_none() {
                        sent.cut = state.cuts.pop_front();
                    }
                }
                server.write_all(bytes).await?;
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if let Some(number) = request {
                    shared.state().requests[number].last = Some(Instant::now());
                }
                if bytes.is_empty() {
                    return Ok(());
                }
                let until = sent.push(bytes);
                client.write_all(&bytes[..until.unwrap_or(bytes.len())]).await?;
                if until.is_some() {
                    return Ok(());
                }
            }
        }
    }
}

/// The bytes of requests so far, searched for heads.
#[derive(Debug, Default)]
struct Heads(Vec<u8>);

impl Heads {
    /// The heads that these bytes complete. Bodies are taken for the beginning of the next head, which does no harm:
    /// clients that send one send nothing behind it on the same connection.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let mut heads = Vec::new();
        while let Some(at) = find(&self.0, b"\r\n\r\n") {
            let head: Vec<u8> = self.0.drain(..at).collect();
            heads.push(String::from_utf8_lossy(&head).trim().to_owned());
        }
        heads
    }
}

/// What the server has sent on a connection, searched for the position of a cut.
#[derive(Debug, Default)]
struct Sent {
    cut: Option<Cut>,
    bytes: Vec<u8>,
}

impl Sent {
    /// How many of these bytes go out before the cut; `None` while it is not reached.
    fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let cut = self.cut.as_ref()?;
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let place = find(&self.bytes, cut.text.as_bytes())? + cut.bytes;
        (place <= self.bytes.len()).then(|| place.saturating_sub(before))
    }
}

/// Where the first `part` ends.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes
        .windows(part.len())
        .position(|window| window == part)
        .map(|at| at + part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_made_so_many_bytes_behind_its_text_however_it_arrives() {
        for size in 1..12 {
            let cut = Cut {
                text: "data: 2".to_owned(),
                bytes: 1,
            };
            let mut sent = Sent {
                cut: Some(cut),
                bytes: Vec::new(),
            };
            let mut passed = String::new();
            for piece in b"data: 1\n\ndata: 2\n\ndata: 3".chunks(size) {
                let until = sent.push(piece);
                let piece = &piece[..until.unwrap_or(piece.len())];
                passed.push_str(std::str::from_utf8(piece).expect("it is ASCII"));
                if until.is_some() {
                    break;
                }
            }
            assert_eq!(passed, "data: 1\n\ndata: 2\n");
        }
    }

    #[test]
    fn heads_of_requests_are_found_one_by_one() {
        let mut heads = Heads::default();
        assert!(heads.push(b"GET /a HTTP/1.1\r\nhost: x\r\n").is_empty());
        let found = heads.push(b"\r\nGET /b HTTP/1.1\r\n\r\n");
        assert_eq!(found, ["GET /a HTTP/1.1\r\nhost: x", "GET /b HTTP/1.1"]);
    }

    #[tokio::test]
    async fn the_server_behind_can_change_and_connections_be_cut() {
        let server = async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("it is free");
            let addr = listener.local_addr().expect("it has one").to_string();
            (listener, addr)
        };
        let ((one, one_addr), (two, two_addr)) = (server().await, server().await);
        let tcp_proxy = TcpProxy::start(&one_addr).await;
        let mut client = TcpStream::connect(tcp_proxy.addr())
            .await
            .expect("it listens");
        let (_held, _) = one.accept().await.expect("it is passed on");
        tcp_proxy.cut_now();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
        tcp_proxy.set_target(&two_addr);
        let mut client = TcpStream::connect(tcp_proxy.addr())
            .await
            .expect("it listens");
        let (mut server, _) = two.accept().await.expect("it is passed on");
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("it is open");
        let mut request = [0; 18];
        server.read_exact(&mut request).await.expect("it arrives");
        assert_eq!(tcp_proxy.requests()[0].head, "GET / HTTP/1.1");
    }
}
