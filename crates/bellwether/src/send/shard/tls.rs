//! A socket of a shard under TLS: rustls between the shard's bytes and the kernel, with no other buffer.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::{Poll, ready};

use tokio_rustls::rustls::ServerConnection;

use super::socket::{poll_recv, poll_send};

/// A TLS session whose handshake is done, and its socket.
pub(crate) struct TlsSocket {
    socket: TcpStream,
    session: ServerConnection,
    /// Bytes that the socket has taken. What the session has encrypted and not written is no progress.
    taken: u64,
    sent_close_notify: bool,
}

impl TlsSocket {
    pub(crate) fn new(socket: TcpStream, session: ServerConnection) -> Self {
        Self {
            socket,
            session,
            taken: 0,
            sent_close_notify: false,
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut count = self.session.writer().write(bytes)?;
        if count == 0 && !bytes.is_empty() {
            // The session has as much as it may hold.
            ready!(self.poll_flush())?;
            count = self.session.writer().write(bytes)?;
        }
        let _ = self.poll_flush()?;
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut out = SocketWriter(&self.socket);
            match self.session.write_tls(&mut out) {
                Ok(count) => self.taken = self.taken.wrapping_add(count as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without `close_notify` is an end all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                result => return Poll::Ready(result),
            }
            match self.session.read_tls(&mut SocketReader(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let processed = self.session.process_new_packets();
            // An alert or a new key may have to be told.
            let _ = self.poll_flush()?;
            if let Err(error) = processed {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }

    pub(super) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.sent_close_notify, true) {
            self.session.send_close_notify();
        }
        ready!(self.poll_flush())?;
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

impl fmt::Debug for TlsSocket {
    /// Says nothing of the session's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// The kernel's side of a session, for writing.
struct SocketWriter<'a>(&'a TcpStream);

impl Write for SocketWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match poll_send(self.0, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The kernel's side of a session, for reading.
struct SocketReader<'a>(&'a TcpStream);

impl Read for SocketReader<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match poll_recv(self.0, space) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
