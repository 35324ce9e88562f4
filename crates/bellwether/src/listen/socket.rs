//! One type for accepted sockets of all kinds.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::send::PollSocket;
#[cfg(target_os = "linux")]
use crate::send::ShardSocket;
#[cfg(all(target_os = "linux", feature = "tls"))]
use crate::send::TlsSocket;

/// A socket as the kernel gave it.
#[derive(Debug)]
pub(super) struct Socket {
    kind: SocketKind,
    /// Bytes that it took. Under TLS only the socket itself knows whether anything leaves.
    written: u64,
}

#[derive(Debug)]
enum SocketKind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Two ends in one process, so that deadlines can be tested on paused time.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self {
            kind: SocketKind::Tcp(stream),
            written: 0,
        }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self {
            kind: SocketKind::Unix(stream),
            written: 0,
        }
    }
}

#[cfg(test)]
impl From<tokio::io::DuplexStream> for Socket {
    fn from(stream: tokio::io::DuplexStream) -> Self {
        Self {
            kind: SocketKind::Memory(stream),
            written: 0,
        }
    }
}

/// Calls a method of the inner stream, whichever it is.
macro_rules! on_stream {
    ($kind:expr, $stream:ident => $call:expr) => {
        match $kind {
            SocketKind::Tcp($stream) => $call,
            #[cfg(unix)]
            SocketKind::Unix($stream) => $call,
            #[cfg(test)]
            SocketKind::Memory($stream) => $call,
        }
    };
}

impl Socket {
    /// The TCP stream, to check its options.
    #[cfg(test)]
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.kind {
            SocketKind::Tcp(stream) => Some(stream),
            _ => None,
        }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written = self.written.wrapping_add(*bytes as u64);
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(&mut self.kind, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = on_stream!(&mut self.kind, stream => Pin::new(stream).poll_write(cx, buf));
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written =
            on_stream!(&mut self.kind, stream => Pin::new(stream).poll_write_vectored(cx, bufs));
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        on_stream!(&self.kind, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.kind, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.kind, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A socket with or without TLS over it.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    /// Boxed: the state of a TLS session is far larger than a socket.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Socket>>),
}

/// A transport, converted for the delivery engine.
#[cfg(target_os = "linux")]
pub(super) enum EngineTransport {
    Shard(ShardSocket),
    /// A kind that the engine does not send.
    Transport(Transport),
    /// The runtime could not release it.
    Gone,
}

macro_rules! on_transport {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport {
            Transport::Plain($stream) => $call,
            #[cfg(feature = "tls")]
            Transport::Tls($stream) => $call,
        }
    };
}

impl Transport {
    /// Converts to the socket of a shard, if it is TCP and the runtime releases it.
    #[cfg(target_os = "linux")]
    pub(super) fn into_engine(self) -> EngineTransport {
        match self {
            Self::Plain(Socket {
                kind: SocketKind::Tcp(stream),
                ..
            }) => match stream.into_std() {
                Ok(stream) => EngineTransport::Shard(ShardSocket::Plain(stream)),
                // Nothing of it is left; what waits for it sees a closed socket.
                Err(_) => EngineTransport::Gone,
            },
            #[cfg(feature = "tls")]
            Self::Tls(stream) if matches!(stream.get_ref().0.kind, SocketKind::Tcp(_)) => {
                let (Socket { kind, .. }, session) = stream.into_inner();
                match kind {
                    SocketKind::Tcp(stream) => match stream.into_std() {
                        Ok(stream) => {
                            let socket = TlsSocket::new(stream, session);
                            EngineTransport::Shard(ShardSocket::Tls(Box::new(socket)))
                        }
                        Err(_) => EngineTransport::Gone,
                    },
                    _ => EngineTransport::Gone,
                }
            }
            other => EngineTransport::Transport(other),
        }
    }

    /// A socket that comes back from a shard, and the address of its client.
    #[cfg(target_os = "linux")]
    pub(super) fn from_shard(
        socket: ShardSocket,
    ) -> io::Result<(Self, Option<std::net::SocketAddr>)> {
        #[cfg(not(feature = "tls"))]
        let ShardSocket::Plain(stream) = socket;
        #[cfg(feature = "tls")]
        let ShardSocket::Plain(stream) = socket else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let peer = stream.peer_addr().ok();
        Ok((Self::Plain(TcpStream::from_std(stream)?.into()), peer))
    }

    /// Bytes that the socket has taken so far.
    pub(super) fn written(&self) -> u64 {
        match self {
            Self::Plain(socket) => socket.written,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.written,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_transport!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_transport!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_transport!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on_transport!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl PollSocket for Transport {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(self), cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        AsyncRead::poll_read(Pin::new(self), cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }

    fn taken(&self) -> Option<u64> {
        Some(self.written())
    }
}
