//! Where clients connect: TCP, a Unix socket, or a socket that another process has opened.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};

use super::limits::{Limits, Timeouts};
use super::socket::Socket;
#[cfg(feature = "tls")]
use super::tls::Tls;

/// Connections that the kernel keeps while the server is busy accepting. Linux cuts it to
/// `net.core.somaxconn`, 4,096 by default.
const BACKLOG: i32 = 4096;

/// An open socket on which a server accepts connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use bellwether::Listener;
///
/// let listener = Listener::tcp("127.0.0.1:0").await?;
/// assert!(listener.address().to_string().starts_with("127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    kind: ListenerKind,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

#[derive(Debug)]
enum ListenerKind {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: UnixListener,
        /// Removed with the listener.
        _file: Option<SocketFile>,
    },
}

/// Address at which a [`Listener`] can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenerAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; none for a socket without a name.
    #[cfg(unix)]
    Unix(Option<PathBuf>),
}

impl ListenerAddress {
    /// Whether only this machine can connect: a loopback address or a Unix socket.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            #[cfg(unix)]
            Self::Unix(_) => true,
        }
    }

    /// The IP address and port, if it has them.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            #[cfg(unix)]
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl Listener {
    /// Opens a TCP socket. Port 0 picks a free port, which [`address`](Self::address) returns.
    ///
    /// If a name has several addresses, the first that can be opened is used. A server may open its address
    /// at once after a restart (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// - The name is unknown.
    /// - `AddrNotAvailable`: the address does not belong to this machine.
    /// - `AddrInUse`: another program listens there.
    /// - `PermissionDenied`: the port needs rights.
    pub async fn tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failure = None;
        for address in lookup_host(address).await? {
            match open_tcp(address) {
                Ok(listener) => return Ok(listener.into()),
                Err(error) => failure = Some(error),
            }
        }
        let nothing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        Err(failure.unwrap_or_else(nothing))
    }

    /// Opens a Unix socket at `path`, with the rights that the process's umask leaves.
    ///
    /// The socket file of a server that was killed is replaced. The file is removed when the listener is
    /// dropped, unless another server has replaced it meanwhile.
    ///
    /// # Errors
    ///
    /// - `AddrInUse`: another server answers there, or the path is no socket.
    /// - The directory is missing, or closed to this process, or the path is too long.
    ///
    /// The message names the path.
    #[cfg(unix)]
    pub async fn unix(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::open_unix(path).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {}: {error}", path.display()),
            )
        })
    }

    #[cfg(unix)]
    async fn open_unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match tokio::net::UnixStream::connect(path).await {
                    Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                        // A plain file refuses too.
                        if !is_socket(path) {
                            return Err(error);
                        }
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)
                    }
                    _ => Err(error),
                }
            }
            result => result,
        };
        Ok(Self::new(ListenerKind::Unix {
            listener: listener?,
            _file: SocketFile::of(path),
        }))
    }

    /// Takes the first socket that the process was started with (`LISTEN_FDS`), TCP or Unix.
    ///
    /// It returns `None` if there is none, so that a program can fall back to an address of its own. systemd
    /// and `systemfd` start programs this way; clients wait in the socket during a restart. The socket can be
    /// taken once.
    ///
    /// # Errors
    ///
    /// The first socket is neither a TCP nor a Unix listener.
    pub fn activated() -> io::Result<Option<Self>> {
        let mut sockets = ListenFd::from_env();
        match sockets.take_tcp_listener(0) {
            Ok(Some(listener)) => {
                listener.set_nonblocking(true)?;
                return TcpListener::from_std(listener).map(Self::from).map(Some);
            }
            Ok(None) => return Ok(None),
            Err(_) if cfg!(unix) => {}
            Err(error) => return Err(error),
        }
        #[cfg(unix)]
        if let Some(listener) = sockets.take_unix_listener(0)? {
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            // The file belongs to the process that made it.
            return Ok(Some(Self::new(ListenerKind::Unix {
                listener,
                _file: None,
            })));
        }
        Ok(None)
    }

    /// Serves HTTPS on this listener.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it can be reached, with the port that the system has picked.
    #[must_use]
    pub fn address(&self) -> ListenerAddress {
        match &self.kind {
            ListenerKind::Tcp(listener) => ListenerAddress::Tcp(
                listener
                    .local_addr()
                    .unwrap_or_else(|_| ([0, 0, 0, 0], 0).into()),
            ),
            #[cfg(unix)]
            ListenerKind::Unix { listener, .. } => ListenerAddress::Unix(
                listener
                    .local_addr()
                    .ok()
                    .and_then(|address| address.as_pathname().map(Path::to_path_buf)),
            ),
        }
    }

    /// Whether it serves HTTPS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    fn new(kind: ListenerKind) -> Self {
        Self {
            kind,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Sets the options of the connections to come.
    ///
    /// Linux copies them from the listener to each accepted socket, which saves four system calls
    /// for each connection. A socket that refuses one is served all the same.
    pub(super) fn prepare(&self, limits: &Limits, timeouts: &Timeouts) {
        if let ListenerKind::Tcp(listener) = &self.kind {
            set_options(&SockRef::from(listener), limits, timeouts);
        }
    }

    /// The next connection. Cancel safe.
    pub(super) async fn accept(
        &self,
        limits: &Limits,
        timeouts: &Timeouts,
    ) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.kind {
            ListenerKind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let socket = SockRef::from(&stream);
                if !has_options(&socket, timeouts) {
                    set_options(&socket, limits, timeouts);
                }
                Ok((stream.into(), Some(peer)))
            }
            #[cfg(unix)]
            ListenerKind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), None))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::new(ListenerKind::Tcp(listener))
    }
}

/// Fails if called outside a runtime or on a socket that cannot be made non-blocking.
impl TryFrom<std::net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::from)
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // On Windows the option would let two programs share one address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Whether the socket has its options from the listener. One that was in the listener's queue before that had them, as
/// over a restart with a listener that was handed over, has not.
#[cfg(target_os = "linux")]
fn has_options(socket: &SockRef<'_>, timeouts: &Timeouts) -> bool {
    let silence = timeouts.peer_silence.as_millis();
    matches!(socket.tcp_user_timeout(), Ok(Some(found)) if found.as_millis() == silence)
}

#[cfg(not(target_os = "linux"))]
fn has_options(_: &SockRef<'_>, _: &Timeouts) -> bool {
    false
}

fn set_options(socket: &SockRef<'_>, limits: &Limits, timeouts: &Timeouts) {
    /// The kernel takes no longer time before the first probe (`MAX_TCP_KEEPIDLE`).
    const MAX_SILENCE: Duration = Duration::from_secs(32_767);
    // Each option stands for itself: one that cannot be set leaves the others.
    // Events are small and written whole: waiting for more only delays them.
    note(socket.set_tcp_nodelay(true));
    let silence = timeouts
        .peer_silence
        .clamp(Duration::from_secs(1), MAX_SILENCE);
    // Probes do not run while something waits for its acknowledgement; the user timeout does.
    note(socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence)));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    note(socket.set_tcp_user_timeout(Some(timeouts.peer_silence.min(MAX_SILENCE))));
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    if limits.max_unsent_bytes > 0 {
        // The kernel reads the value as a signed number.
        let bytes = limits.max_unsent_bytes.min(i32::MAX as usize);
        note(socket.set_tcp_notsent_lowat(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }
}

fn note(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// The file of a Unix socket that this process has made; removed when dropped.
#[cfg(unix)]
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: a server started later may have put its own file there.
    identity: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn of(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let identity = Self::identity(&path)?;
        Some(Self { path, identity })
    }

    fn identity(path: &Path) -> Option<(u64, u64)> {
        let file = std::fs::symlink_metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path) == Some(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The address of a peer that counts against the limit for each address.
pub(super) fn ip(peer: Option<SocketAddr>) -> Option<IpAddr> {
    peer.map(|peer| peer.ip())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn accepted_sockets_have_their_options_also_those_that_waited_in_the_queue() {
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        let address = listener.address().socket_addr().unwrap();
        let _early = tokio::net::TcpStream::connect(address).await.unwrap();
        listener.prepare(&limits, &timeouts);
        let _late = tokio::net::TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            let accepted = listener.accept(&limits, &timeouts).await.unwrap();
            check_options(&accepted, &timeouts);
        }
    }

    #[cfg(target_os = "linux")]
    fn check_options((socket, peer): &(Socket, Option<SocketAddr>), timeouts: &Timeouts) {
        let socket = SockRef::from(socket.tcp().unwrap());
        assert!(peer.is_some());
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), timeouts.peer_silence);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(timeouts.peer_silence)
        );
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32 * 1024);
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (address, is_local) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            let address = ListenerAddress::Tcp(address.parse().unwrap());
            assert_eq!(address.is_local(), is_local, "{address}");
        }
        #[cfg(unix)]
        assert!(ListenerAddress::Unix(None).is_local());
    }
}
