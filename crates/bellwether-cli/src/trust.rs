//! The roots that a command trusts for `https`: those of a named file, otherwise those of the machine and of Mozilla.

use std::path::Path;
use std::sync::Arc;

use bellwether_client::HyperTransport;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::exit::{Failure, USAGE, with_causes};

/// As OpenSSL has them: who sets one means its certificates and no others.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A transport that trusts the authorities in this file, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or else
/// those of the machine together with Mozilla's, so that a container without certificates works too.
///
/// # Errors
///
/// What was named cannot be read, or holds no certificate: wrong usage.
pub(crate) fn transport(ca: Option<&Path>) -> Result<HyperTransport, Failure> {
    let mut roots = RootCertStore::empty();
    let named = named_variable();
    match (ca, named) {
        (Some(file), _) => add(&mut roots, of_file(file)?),
        (None, Some(name)) => {
            let found = rustls_native_certs::load_native_certs();
            if let Some(error) = found.errors.first() {
                return Err(unusable(name, &with_causes(error)));
            }
            add(&mut roots, found.certs);
            if roots.is_empty() {
                return Err(unusable(name, "it names no certificate in PEM format"));
            }
        }
        (None, None) => {
            // A machine whose store is damaged has Mozilla's.
            add(&mut roots, rustls_native_certs::load_native_certs().certs);
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", &error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HyperTransport::new().tls_config(config))
}

/// The variable that is set; an empty one is not.
fn named_variable() -> Option<&'static str> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    VARIABLES.into_iter().find(is_set)
}

fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let what = file.display().to_string();
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> =
        certificates.map_err(|error| unusable(&what, &with_causes(&error)))?;
    match certificates.is_empty() {
        true => Err(unusable(&what, "it holds no certificate in PEM format")),
        false => Ok(certificates),
    }
}

/// Adds those that can be an authority; machines keep some that are none.
fn add(roots: &mut RootCertStore, certificates: Vec<CertificateDer<'static>>) {
    roots.add_parsable_certificates(certificates);
}

fn unusable(what: &str, why: &str) -> Failure {
    Failure::new(USAGE, format_args!("cannot trust {what}: {why}"))
}
