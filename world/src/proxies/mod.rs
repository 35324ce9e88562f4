//! Proxies between a client and the server: whether events come at once, whole and again after a cut.

mod case;
mod install;
mod kinds;
mod limits;
pub(crate) mod origin;
mod proxy;
mod reader;
mod snippets;
mod trial;
mod words;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::options::{Docs, Options};
use crate::table::Table;
use case::{Case, HEAD};
use kinds::{KINDS, Kind};
use proxy::Folder;

/// The page with the table and the snippets.
const DOCS: &str = "docs/guide/proxies.md";

/// How many proxies are tried at a time: most trials wait most of the time.
const AT_ONCE: usize = 4;

/// Tries the proxies; `true` if all that were asked for could be tried, and the docs agree with the results.
pub(crate) async fn run(options: &Options) -> bool {
    let folder = match Folder::new("proxies") {
        Ok(folder) => folder,
        Err(error) => return report(&format!("no temporary folder: {error}")),
    };
    let certificate = folder.0.join("certificate.pem");
    if let Err(error) = make_certificate(&certificate) {
        return report(&error);
    }
    let is_wanted = |kind: &Kind| options.wants(kind.name) && (kind.is_short || !options.is_short);
    let kinds: Vec<Kind> = KINDS.into_iter().filter(is_wanted).collect();
    install::prepare(&kinds);
    let mut is_good = true;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::new();
    for kind in kinds {
        let version = match kind.find_version() {
            Ok(version) => version,
            Err(error) => {
                is_good = report(&format!("left out: {error}"));
                continue;
            }
        };
        for folder in ["usual", "recommended"] {
            let case = Case {
                kind,
                folder,
                version: version.clone(),
                certificate: certificate.clone(),
                is_shown: options.is_shown,
            };
            let permits = Arc::clone(&permits);
            running.push(tokio::spawn(async move {
                let _permit = permits.acquire_owned().await;
                case.row().await
            }));
        }
    }
    let mut table = Table::new(HEAD);
    for row in running {
        match row.await.expect("a trial does not panic") {
            Ok(row) => table.row(row),
            Err(error) => is_good = report(&error),
        }
    }
    let (limits, errors) = limits::table(options, &certificate).await;
    for error in &errors {
        is_good = report(error);
    }
    // A table that lacks a proxy is not written.
    let docs = match is_good {
        true => options.docs,
        false => Docs::Leave,
    };
    table.publish(DOCS, "proxies", docs)
        & limits.publish(DOCS, "limits", docs)
        & snippets::publish(DOCS, docs)
        & is_good
}

/// Prints what is wrong, and returns `false` for the caller to return.
fn report(error: &str) -> bool {
    println!("{error}");
    false
}

/// A certificate of its own for `localhost`, with its key in the same file.
fn make_certificate(path: &Path) -> Result<(), String> {
    let key = path.with_extension("key");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(path)
        .output();
    let made = made
        .map_err(|error| format!("openssl cannot be run ({error}): install the package openssl"))?;
    if !made.status.success() {
        return Err(format!(
            "no certificate: {}",
            String::from_utf8_lossy(&made.stderr)
        ));
    }
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let both = read(path)? + &read(&key)?;
    std::fs::write(path, both).map_err(|error| error.to_string())
}
