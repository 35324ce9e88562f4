//! The sockets of a shard: not registered with the runtime, and under TLS without its buffers.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::send::chunk_writer::PollSocket;

/// A socket of a shard.
#[derive(Debug)]
pub(crate) enum ShardSocket {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<super::tls::TlsSocket>),
}

impl ShardSocket {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.tcp(),
        }
    }

    /// Whether it is under TLS.
    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl PollSocket for ShardSocket {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => poll_send(socket, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.poll_write(bytes),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.poll_flush(),
        }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => poll_recv(socket, space),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.poll_read(space),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.poll_shutdown(),
        }
    }

    fn taken(&self) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(session) => Some(session.taken()),
        }
    }
}

/// Sends once; pending if the socket takes nothing now.
///
/// By the system call itself: the C library's `send` is a point at which a thread may be cancelled,
/// and the preparation for that is 2 to 3 % of what a delivery costs.
pub(super) fn poll_send(socket: &TcpStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(taken) => return Poll::Ready(Ok(taken)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    }
}

pub(super) fn poll_recv(mut socket: &TcpStream, space: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        match socket.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            result => return Poll::Ready(result),
        }
    }
}
