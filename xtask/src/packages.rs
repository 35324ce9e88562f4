//! The check of what would be published: every crate packs, and the packed crates compile without the rest of the
//! repository.
//!
//! `cargo package` could verify that itself, but over a registry in `target/` whose unpacked crates it keeps by their
//! versions, so that a second run compiles the first one's sources.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use crate::run::Step;
use crate::tally::Tally;
use crate::workspace;

pub(crate) fn command() -> ExitCode {
    let mut tally = Tally::default();
    check(&mut tally);
    tally.close()
}

pub(crate) fn check(tally: &mut Tally) {
    let names: Vec<String> = workspace::packages()
        .into_iter()
        .filter(|package| package.is_published)
        .map(|package| package.name)
        .collect();
    let chosen: Vec<String> = names
        .iter()
        .flat_map(|name| ["-p".to_owned(), name.clone()])
        .collect();
    // Archives of earlier versions would be unpacked as well.
    let _ = fs::remove_dir_all(workspace::root().join("target/package"));
    // Other changes may be under way; a clean checkout is what CI has.
    let arguments = ["package", "--no-verify", "--allow-dirty", "--quiet"];
    let packed = Step::cargo("packages", &arguments);
    // Where the archives are looked for, whatever `CARGO_TARGET_DIR` says.
    let target = workspace::root()
        .join("target")
        .to_string_lossy()
        .into_owned();
    let packed = packed
        .args(&["--target-dir".to_owned(), target])
        .args(&chosen)
        .run();
    tally.add_check("packages", packed.is_success);
    if !packed.is_success {
        return;
    }
    let folder = workspace::root().join("target/packages");
    let is_ready = unpack(&folder).inspect_err(|error| println!("could not unpack: {error}"));
    let compiles = is_ready.is_ok_and(|()| compile(&folder));
    tally.add_check("packages: what was packed compiles", compiles);
}

/// Unpacks every archive into a workspace of its own, in which the crates stand in for the registry's.
fn unpack(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut manifest =
        "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n\n[patch.crates-io]\n".to_owned();
    for entry in fs::read_dir(workspace::root().join("target/package"))? {
        let archive = entry?.path();
        let Some(stem) = archive.file_stem().filter(|_| is_crate(&archive)) else {
            continue;
        };
        let stem = stem.to_string_lossy();
        let path = archive.to_string_lossy();
        let unpacked = Step::new("unpack", "tar", &["-xf", &path])
            .folder(folder)
            .ask();
        unpacked.ok_or_else(|| io::Error::other(format!("tar -xf {path}")))?;
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
        let _ = writeln!(manifest, "{name} = {{ path = \"{stem}\" }}");
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    // The same versions as everywhere, most of which are compiled already.
    fs::copy(
        workspace::root().join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )?;
    Ok(())
}

fn is_crate(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "crate")
}

fn compile(folder: &Path) -> bool {
    let target = workspace::root().join("target");
    let target = target.to_string_lossy();
    let arguments = [
        "check",
        "--workspace",
        "--all-features",
        "--target-dir",
        &*target,
    ];
    let check = Step::cargo("packages, compiled", &arguments).folder(folder);
    check.run().is_success
}
