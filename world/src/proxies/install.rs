//! The Debian packages of the proxies: on Debian as root, what is missing is installed.

use std::path::Path;
use std::process::Command;

use super::kinds::Kind;

/// Installs what is missing if one command can. A failure shows when the proxy is started.
pub(super) fn prepare(kinds: &[Kind]) {
    let is_missing = |kind: &&Kind| kind.find_version().is_err();
    let missing: Vec<&str> = kinds
        .iter()
        .filter(is_missing)
        .map(|kind| kind.package)
        .collect();
    if missing.is_empty() || !Path::new("/etc/debian_version").exists() || !is_root() {
        return;
    }
    println!("installing: {}", missing.join(" "));
    let apt = |words: &[&str]| {
        let status = Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Keeps the packages from starting their servers: each trial starts its own.
            .env("RUNLEVEL", "1")
            .status();
        if !status.is_ok_and(|status| status.success()) {
            println!("apt-get {} has failed", words[0]);
        }
    };
    apt(&["update", "-qq"]);
    let words = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&words, &missing[..]].concat());
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
