//! Connects to a server: names to addresses, addresses to sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::location::port;

/// How long one address may take before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// An event stream has the client silent for hours, so TCP itself must ask whether the server still exists: first
/// after this silence, then each [`PROBE_INTERVAL`], [`PROBES`] times. One interval after the last of them, at 51 s,
/// the server is taken for gone; [`HyperTransport`](super::HyperTransport) promises a minute.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(7);
/// Linux would send nine.
const PROBES: u32 = 3;
/// Sent bytes that are never acknowledged, such as a request or a ping, suppress the probes. Where this is set, Linux
/// ends the probes by it too and does not count them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(51);

/// Where a [`connector`](super::HyperTransport::connector) shall connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The host of the URL; an IPv6 address without its brackets.
    pub host: String,
    /// The port of the URL, or that of its scheme.
    pub port: u16,
}

impl Target {
    pub(crate) fn of(url: &Uri) -> Self {
        let host = url.host().unwrap_or_default();
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port(url),
        }
    }
}

/// A connection of any kind, as hyper reads and writes it.
///
/// A [`connector`](super::HyperTransport::connector) returns one. TLS is put on top of it for `https`, so the
/// connector returns plain bytes.
///
/// ```no_run
/// use bellwether_client::HyperTransport;
/// use bellwether_client::transport::Io;
/// use tokio::net::TcpStream;
///
/// // All requests go to one port of this machine, whatever host their URL names.
/// let transport = HyperTransport::new()
///     .connector(|_target| async { Ok(Io::new(TcpStream::connect("127.0.0.1:8000").await?)) });
/// ```
pub struct Io(Pin<Box<dyn Duplex>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl Io {
    /// Wraps a connection.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(io))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

/// What connects: TCP, or something of the caller's.
#[derive(Clone)]
pub(super) struct Connector(Arc<dyn Fn(Target) -> Connecting + Send + Sync>);

impl Connector {
    pub(super) fn tcp() -> Self {
        Self::new(connect_tcp)
    }

    pub(super) fn new<F, T>(connect: F) -> Self
    where
        F: Fn(Target) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Io>> + Send + 'static,
    {
        Self(Arc::new(move |target| Box::pin(connect(target))))
    }

    pub(super) fn connect(&self, target: Target) -> Connecting {
        (self.0)(target)
    }
}

/// Tries all addresses of a name, each a little after the one before, and takes the first that answers.
async fn connect_tcp(target: Target) -> io::Result<Io> {
    let addresses = tokio::net::lookup_host((target.host.as_str(), target.port)).await?;
    let mut addresses = interleave(addresses.collect()).into_iter();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    // Attempts that are not needed any more end with the set.
    let mut attempts: JoinSet<io::Result<TcpStream>> = JoinSet::new();
    if let Some(address) = addresses.next() {
        attempts.spawn(TcpStream::connect(address));
    }
    loop {
        let joined = match addresses.len() {
            0 => attempts.join_next().await,
            _ => tokio::time::timeout(STAGGER, attempts.join_next())
                .await
                .unwrap_or_default(),
        };
        match joined {
            Some(Ok(Ok(stream))) => {
                prepare(&stream)?;
                return Ok(Io::new(stream));
            }
            Some(Ok(Err(refused))) => error = refused,
            Some(Err(_)) => {}
            None if addresses.len() == 0 && attempts.is_empty() => return Err(error),
            None => {}
        }
        if let Some(address) = addresses.next() {
            attempts.spawn(TcpStream::connect(address));
        }
    }
}

/// Puts addresses of both families in turn, so that a family without a route costs one stagger and not all.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut mixed = Vec::new();
    for address in one {
        mixed.push(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_preferred_one() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(parse);
        let mixed = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"].map(parse);
        assert_eq!(interleave(given.to_vec()), mixed);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_server_that_vanished_is_noticed_within_a_minute() {
        const PROMISED: Duration = Duration::from_secs(60);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        prepare(&stream).unwrap();
        // What the system says it will do; to see it, a network would have to be cut.
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        let probes = socket.tcp_keepalive_retries().unwrap();
        let interval = socket.tcp_keepalive_interval().unwrap();
        let silence = socket.tcp_keepalive_time().unwrap() + interval * probes;
        // Below the promise, since timers of the system are late.
        assert!(silence < PROMISED, "{silence:?}");
        let unanswered = socket.tcp_user_timeout().unwrap();
        assert_eq!(unanswered, Some(silence));
    }
}
