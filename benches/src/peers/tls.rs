//! Peers with one topic behind TLS, by rustls with ring, and Bellwether without it.

use std::fs;
use std::io;
use std::path::PathBuf;

use ::bellwether::{Listener, Tls};
use axum_server::tls_rustls::{RustlsConfig, from_tcp_rustls};
use rustls::crypto::ring;

use super::fan_out::{axum, bellwether};
use super::{Family, Peer, application, ready};
use crate::load::stream::SERVER_NAME;
use crate::options::Options;

/// The peer without TLS.
const PLAIN: &str = "bellwether-plain";

/// A further peer is an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "tls",
    peers: &[
        Peer {
            name: "bellwether",
            about: "a `Topic`, `subscribe()` as the answer of a handler, the feature `tls` with `Listener::with_tls`",
            prepare: make_certificate,
            serve: serve_bellwether,
        },
        Peer {
            name: "axum",
            about: "axum 0.8 `Sse` over `tokio::sync::broadcast`, `keep_alive`, by axum-server 0.8 with rustls and ring",
            prepare: make_certificate,
            serve: serve_axum,
        },
        Peer {
            name: PLAIN,
            about: "the first one without TLS",
            prepare: ready,
            serve: bellwether::serve,
        },
    ],
};

/// Whether clients of this peer must use TLS.
pub(crate) fn is_encrypted(peer: &Peer) -> bool {
    peer.name != PLAIN
}

/// The files with the certificate and its key, in PEM format.
pub(crate) fn files() -> io::Result<[PathBuf; 2]> {
    let folder = super::fan_out::build_folder("bench-tls")?;
    Ok(["certificate.pem", "key.pem"].map(|name| folder.join(name)))
}

/// Makes a self-signed certificate for `localhost`, once for a build folder.
fn make_certificate(_: &Options) -> Result<(), String> {
    let make = || -> crate::Result<()> {
        let [certificate, key] = files()?;
        if certificate.exists() && key.exists() {
            return Ok(());
        }
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        if let Some(folder) = certificate.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(key, made.signing_key.serialize_pem())?;
        fs::write(certificate, made.cert.pem())?;
        Ok(())
    };
    make().map_err(|error| format!("there is no certificate: {error}"))
}

fn serve_bellwether() -> io::Result<()> {
    let [certificate, key] = files()?;
    let tls = Tls::from_pem_files(certificate, key)?;
    let application = bellwether::application()?;
    super::runtime()?.block_on(async {
        let listener = Listener::tcp("127.0.0.1:0").await?.with_tls(tls);
        application::serve_at(application, listener).await
    })
}

fn serve_axum() -> io::Result<()> {
    ring::default_provider()
        .install_default()
        .map_err(|_| io::Error::other("another provider is installed"))?;
    let [certificate, key] = files()?;
    super::runtime()?.block_on(async {
        let config = RustlsConfig::from_pem_file(certificate, key).await?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        super::announce(listener.local_addr()?)?;
        from_tcp_rustls(listener, config)?
            .serve(axum::router().into_make_service())
            .await
    })
}
