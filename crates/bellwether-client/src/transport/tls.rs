//! TLS by rustls with ring: the trusted roots and the negotiated protocol.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, InvalidMessage, RootCertStore};

use super::connect::{Io, Target};

/// Trusts what Mozilla does; the list is compiled in, so that a container without certificates works too.
pub(super) fn default_config() -> ClientConfig {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // By name, so that another provider in the same program is no matter.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the versions that rustls calls safe")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Offers HTTP/2 if it is compiled in, then HTTP/1.1.
pub(super) fn with_protocols(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if cfg!(feature = "http2") {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    config
}

/// Completes the handshake; true if HTTP/2 was negotiated.
pub(super) async fn wrap(
    config: Arc<ClientConfig>,
    target: &Target,
    io: Io,
) -> io::Result<(Io, bool)> {
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(config).connect(name, io).await;
    let stream = stream.map_err(|error| match is_no_tls(&error) {
        true => {
            let Target { host, port } = target;
            let message = format!(
                "{host} answers on port {port} without TLS; if that is meant, the address begins with http:// instead of https://"
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        }
        false => error,
    })?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Io::new(stream), is_http2))
}

/// Whether the first bytes of the server were none of TLS.
fn is_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
        ))
    )
}
