//! TLS by rustls with ring: a certificate and a key from files, HTTP/2 and HTTP/1.1 by ALPN.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::io::Protocol;
use super::socket::Socket;

/// Certificate and key of a server.
///
/// The server speaks TLS 1.2 and 1.3 with rustls's cipher suites, and HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads a certificate chain and its private key from PEM files.
    ///
    /// The chain begins with the server's own certificate; the key is in PKCS#8, PKCS#1 or SEC1
    /// form. The files are read here and not again: a renewed certificate takes effect with the
    /// next start.
    ///
    /// # Errors
    ///
    /// Each message names the file. It cannot be read (`NotFound`, `PermissionDenied`, …), or it
    /// holds no certificate, no key, or a key that does not belong to the certificate
    /// (`InvalidData`).
    ///
    /// ```
    /// use bellwether::Tls;
    ///
    /// let error = Tls::from_pem_files("missing.pem", "missing.key").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert!(error.to_string().contains("missing.pem"));
    /// ```
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        let chain = read(certificate, |bytes| {
            CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>()
        })?;
        if chain.is_empty() {
            return Err(invalid(
                certificate,
                "it holds no certificate in PEM format",
            ));
        }
        let private = read(key, PrivateKeyDer::from_pem_slice)?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| {
                let problem = format!("it does not go with {}: {error}", certificate.display());
                invalid(key, problem)
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(super) fn accept(&self, socket: Socket) -> Accept<Socket> {
        self.acceptor.accept(socket)
    }
}

impl fmt::Debug for Tls {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The protocol that both sides agreed on by ALPN, if the client asked.
pub(super) fn negotiated(stream: &TlsStream<Socket>) -> Option<Protocol> {
    match stream.get_ref().1.alpn_protocol()? {
        b"h2" => Some(Protocol::Http2),
        _ => Some(Protocol::Http1),
    }
}

fn read<T, E: fmt::Display>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> io::Result<T> {
    let bytes = std::fs::read(path).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot read {}: {error}", path.display()),
        )
    })?;
    parse(&bytes).map_err(|error| invalid(path, error))
}

fn invalid(path: &Path, problem: impl fmt::Display) -> io::Error {
    let message = format!("cannot use {} for TLS: {problem}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}
