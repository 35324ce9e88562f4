//! HTTPS: the protocol by ALPN, and certificates that cannot be used.
//!
//! The certificate is for `localhost`, valid for a hundred years and for nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether::{Listener, Timeouts, Tls};
use bellwether_testkit::RawClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{application, expect_numbers};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/serving")
        .join(name)
}

pub(crate) async fn listener() -> Listener {
    let tls = Tls::from_pem_files(file("certificate.pem"), file("key.pem")).unwrap();
    Listener::tcp("127.0.0.1:0").await.unwrap().with_tls(tls)
}

pub(crate) async fn connect(
    listener: std::net::SocketAddr,
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("certificate.pem")).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(listener).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn https_speaks_http_2_or_http_1_as_the_client_prefers() {
    let listener = listener().await;
    let address = listener.address().socket_addr().unwrap();
    let running = application().start(listener).await.unwrap();

    let stream = connect(address, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = axum::http::Request::get("https://localhost/")
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    drop((client, body));
    connection.await.unwrap().unwrap();

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let mut client = RawClient::over(connect(address, alpn).await);
        client.get("/count", &[]).await;
        assert_eq!(client.read_head().await.status, 200);
        expect_numbers(&mut client, &mut 0, 5).await;
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_closed() {
    let listener = listener().await;
    let address = listener.address().socket_addr().unwrap();
    let timeouts = Timeouts::default().tls_handshake(Duration::from_millis(200));
    let _running = application()
        .timeouts(timeouts)
        .start(listener)
        .await
        .unwrap();
    RawClient::connect(address).await.closed().await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let cases = [
        (PathBuf::from("missing.pem"), key.clone(), "missing.pem"),
        (
            certificate.clone(),
            PathBuf::from("missing.key"),
            "missing.key",
        ),
        (key, certificate.clone(), "key.pem"),
        (certificate.clone(), certificate, "certificate.pem"),
    ];
    for (certificate, key, culprit) in cases {
        let error = Tls::from_pem_files(certificate, key).unwrap_err();
        assert!(error.to_string().contains(culprit), "{error}");
    }
}
