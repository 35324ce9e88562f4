//! A client's connection, plain or by TLS 1.3, that blocks until its request is sent and never after.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Socket};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, version};

use crate::Result;

/// The name in the certificate of a server that speaks TLS.
pub(crate) const SERVER_NAME: &str = "localhost";

/// The one certificate that a client trusts, and how it speaks TLS.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Trusts the certificate in a PEM file, and speaks TLS 1.3 with HTTP/1.1 inside.
    pub(crate) fn of(certificate: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every reader is a new one: none resumes another's session.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects, shakes hands if there is a certificate to trust, and sends a request.
    pub(crate) fn connect(
        server: SocketAddr,
        trust: Option<&Trust>,
        request: &[u8],
    ) -> Result<Self> {
        let mut socket = Socket::connect(server)?;
        socket.set_nodelay(true)?;
        let Some(trust) = trust else {
            // A request is small enough for the empty buffer of a new socket.
            socket.write_all(request)?;
            socket.set_nonblocking(true)?;
            return Ok(Self::Plain(TcpStream::from_std(socket)));
        };
        let name = ServerName::try_from(SERVER_NAME)?;
        let mut tls = ClientConnection::new(Arc::clone(&trust.config), name)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        tls.writer().write_all(request)?;
        while tls.wants_write() {
            tls.write_tls(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        let stream = StreamOwned::new(tls, TcpStream::from_std(socket));
        Ok(Self::Tls(Box::new(stream)))
    }

    /// What is watched.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut(),
        }
    }

    /// Whether a read that does not fill its buffer has emptied the socket. TLS reads record by
    /// record.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
