//! Gets the clients that are not there yet, each at the version that is pinned.

use std::path::Path;
use std::process::Command;

use super::list::{Client, Home, crates, folder, python};
use crate::table::scratch;

/// Installs what these clients need and is missing; the error names what failed.
pub(crate) fn prepare(clients: &[Client]) -> Result<(), String> {
    std::fs::create_dir_all(scratch()).map_err(|error| error.to_string())?;
    let has = |of: fn(&Home) -> bool| clients.iter().any(|client| of(&client.home));
    if has(|home| matches!(home, Home::Npm(..))) {
        let stamp = folder().join("node_modules/.package-lock.json");
        once(&stamp, &folder().join("package-lock.json"), || {
            run("npm", &["ci", "--no-audit", "--no-fund"], &folder())
        })?;
    }
    if has(|home| matches!(home, Home::PyPi(..))) {
        let stamp = scratch().join("venv/installed");
        once(&stamp, &folder().join("requirements.txt"), || {
            let venv = scratch().join("venv");
            let venv = venv.to_string_lossy();
            run("python3", &["-m", "venv", &venv], &folder())?;
            let python = python();
            let install = ["-m", "pip", "install", "--quiet", "-r", "requirements.txt"];
            run(&python.to_string_lossy(), &install, &folder())?;
            std::fs::write(&stamp, "").map_err(|error| error.to_string())
        })?;
    }
    if has(|home| matches!(home, Home::Crate(_))) {
        let target = crates();
        let target = target.to_string_lossy();
        let build = ["build", "--quiet", "--locked", "--target-dir", &target];
        run("cargo", &build, &folder().join("rust"))?;
    }
    Ok(())
}

/// Does it unless the stamp is there and newer than the list.
fn once(
    stamp: &Path,
    list: &Path,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    match (changed(stamp), changed(list)) {
        (Some(installed), Some(wanted)) if installed >= wanted => Ok(()),
        _ => install(),
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    println!("{program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .status()
        .map_err(|error| format!("could not start {program}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{program} {} failed", arguments.join(" "))),
    }
}
