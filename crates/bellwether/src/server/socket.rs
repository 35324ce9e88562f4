//! One accepted socket, whatever its kind, as one type.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// A socket as the kernel gave it.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Two ends in one process, so that deadlines can be tested on paused time.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// A socket with or without TLS over it.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    /// Boxed: the state of a TLS session is far larger than a socket.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Socket>>),
}

macro_rules! delegate {
    ($self:ident, $inner:ident => $call:expr, [$( $(#[$attr:meta])* $variant:ident ),+]) => {
        match $self.get_mut() {
            $( $(#[$attr])* Self::$variant($inner) => $call, )+
        }
    };
}

macro_rules! io_by_variants {
    ($type:ident, $variants:tt) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                delegate!(self, io => Pin::new(io).poll_read(cx, buf), $variants)
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                delegate!(self, io => Pin::new(io).poll_write(cx, buf), $variants)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                delegate!(self, io => Pin::new(io).poll_write_vectored(cx, bufs), $variants)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                delegate!(self, io => Pin::new(io).poll_flush(cx), $variants)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                delegate!(self, io => Pin::new(io).poll_shutdown(cx), $variants)
            }
        }
    };
}

io_by_variants!(Socket, [Tcp, #[cfg(unix)] Unix, #[cfg(test)] Memory]);
io_by_variants!(Transport, [Plain, #[cfg(feature = "tls")] Tls]);
