//! The servers behind brokers, each with a folder of its own, ended by the kernel when the peer is gone.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server answers after this, or never.
const LONGEST_START: Duration = Duration::from_secs(10);

/// A program that keeps a log.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    scheme: &'static str,
    places: &'static [&'static str],
    arguments: fn(port: u16, folder: &Path) -> Vec<String>,
}

pub(super) static REDIS: Program = Program {
    name: "redis-server",
    scheme: "redis",
    places: &["/usr/bin/redis-server", "/usr/local/bin/redis-server"],
    arguments: |port, folder| {
        let (port, folder) = (port.to_string(), folder.display().to_string());
        let words = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--dir",
            &folder,
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--loglevel",
            "warning",
        ];
        words.map(str::to_owned).to_vec()
    },
};

pub(super) static NATS: Program = Program {
    name: "nats-server",
    scheme: "nats",
    places: &[
        "/usr/sbin/nats-server",
        "/usr/bin/nats-server",
        "/usr/local/bin/nats-server",
    ],
    arguments: |port, folder| {
        let (port, folder) = (port.to_string(), folder.display().to_string());
        let words = ["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &folder];
        words.map(str::to_owned).to_vec()
    },
};

impl Program {
    /// Whether it is installed; else what to install.
    pub(super) fn find(&self) -> Result<(), String> {
        match self.place() {
            Some(_) => Ok(()),
            None => Err(format!("{0} is missing (Debian package {0})", self.name)),
        }
    }

    fn place(&self) -> Option<&'static str> {
        let mut places = self.places.iter().copied();
        places.find(|place| Path::new(place).exists())
    }
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    pub(super) fn start(program: &'static Program) -> io::Result<Self> {
        let place = program.place().ok_or(io::ErrorKind::NotFound)?;
        let folder = fresh_folder(program.name)?;
        // It cannot say which port the system chose; this one was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", place])
            .args((program.arguments)(port, &folder))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let url = format!("{}://127.0.0.1:{port}", program.scheme);
        Ok(Self { child, url })
    }

    /// Connects as soon as the server answers.
    pub(super) async fn reach<T, E>(
        &self,
        connect: impl AsyncFn(&str) -> Result<T, E>,
    ) -> io::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let end = Instant::now() + LONGEST_START;
        loop {
            match connect(&self.url).await {
                Ok(broker) => return Ok(broker),
                Err(error) if Instant::now() > end => return Err(io::Error::other(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; then there is only the status to collect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An empty folder beside this program, in the build's folder: on a disk, as `/tmp` need not be.
pub(super) fn fresh_folder(name: &str) -> io::Result<PathBuf> {
    let folder = super::super::fan_out::build_folder(&format!("broker-{name}"))?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
