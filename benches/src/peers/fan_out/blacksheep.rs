//! BlackSheep on uvicorn, in a virtual environment of the benches' own.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::nchan::ends_with_its_parent;
use crate::options::Options;

const PROGRAM: &str = include_str!("blacksheep.py");
const PACKAGES: [&str; 4] = ["blacksheep", "uvicorn", "uvloop", "httptools"];

/// Makes the virtual environment, if it was asked for.
pub(super) fn prepare(options: &Options) -> Result<(), String> {
    if !options.with_python {
        return Err("it needs --with-python, which fetches packages from PyPI".to_owned());
    }
    let folder = folder().map_err(|error| error.to_string())?;
    if folder.join("ready").exists() {
        return Ok(());
    }
    let pip = folder.join("bin/pip");
    let steps = [
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&folder)
            .status(),
        Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PACKAGES)
            .stdout(Stdio::null())
            .status(),
    ];
    for step in steps {
        if !step.is_ok_and(|status| status.success()) {
            return Err("its virtual environment could not be made".to_owned());
        }
    }
    fs::write(folder.join("ready"), "").map_err(|error| error.to_string())
}

/// Becomes Python: what is accounted to this process is BlackSheep's.
pub(super) fn serve() -> io::Result<()> {
    // The program cannot report which port the system chose; this one was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    super::announce(address)?;
    let mut python = ends_with_its_parent(folder()?.join("bin/python"));
    python.args(["-c", PROGRAM]).arg(address.port().to_string());
    Err(python.stdout(Stdio::null()).exec())
}

fn folder() -> io::Result<PathBuf> {
    super::build_folder("blacksheep")
}
