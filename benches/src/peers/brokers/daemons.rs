//! The servers behind brokers, each with a folder of its own, ended by the kernel when the peer is gone.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::ask::ask;

/// A command of a Redis that takes longer is counted.
const SLOW_MICROS: &str = "1000";

/// A server answers after this, or never.
const LONGEST_START: Duration = Duration::from_secs(10);

/// A program that keeps a log.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    scheme: &'static str,
    paths: &'static [&'static str],
    arguments: fn(ports: Ports, folder: &Path) -> Vec<String>,
    /// The server's count that is a cost of its readers.
    count: fn(ports: Ports) -> io::Result<u64>,
}

/// The address for clients, and the address for questions about the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    clients: u16,
    monitor: u16,
}

pub(super) static REDIS: Program = Program {
    name: "redis-server",
    scheme: "redis",
    paths: &["/usr/bin/redis-server", "/usr/local/bin/redis-server"],
    count: slow_commands,
    arguments: |ports, folder| {
        let (port, folder) = (ports.clients.to_string(), folder.display().to_string());
        let words = [
            "--slowlog-log-slower-than",
            SLOW_MICROS,
            "--slowlog-max-len",
            "1000000",
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
    paths: &[
        "/usr/sbin/nats-server",
        "/usr/bin/nats-server",
        "/usr/local/bin/nats-server",
    ],
    count: consumers,
    arguments: |ports, folder| {
        let (port, monitor) = (ports.clients.to_string(), ports.monitor.to_string());
        let folder = folder.display().to_string();
        let words = [
            "-a",
            "127.0.0.1",
            "-p",
            &port,
            "-m",
            &monitor,
            "-js",
            "-sd",
            &folder,
        ];
        words.map(str::to_owned).to_vec()
    },
};

/// How many commands have taken a Redis longer than [`SLOW_MICROS`].
fn slow_commands(ports: Ports) -> io::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", ports.clients))?;
    stream.set_read_timeout(Some(LONGEST_START))?;
    stream.write_all(b"SLOWLOG LEN\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    number(line.trim().trim_start_matches(':'))
}

/// How many consumers a NATS has.
fn consumers(ports: Ports) -> io::Result<u64> {
    let text = ask(
        ([127, 0, 0, 1], ports.monitor).into(),
        "/jsz",
        LONGEST_START,
    );
    let text = text.map_err(|error| io::Error::other(error.to_string()))?;
    let count = text
        .split_once("\"consumers\":")
        .map(|(_, rest)| rest.trim_start());
    let digits =
        count.and_then(|count| count.split(|letter: char| !letter.is_ascii_digit()).next());
    number(digits.unwrap_or_default())
}

fn number(text: &str) -> io::Result<u64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is no count")))
}

impl Program {
    /// Whether the server is installed; if not, what to install.
    pub(super) fn find(&self) -> Result<(), String> {
        match self.find() {
            Some(_) => Ok(()),
            None => Err(format!("{0} is missing (Debian package {0})", self.name)),
        }
    }

    fn find(&self) -> Option<&'static str> {
        let mut paths = self.paths.iter().copied();
        paths.find(|path| Path::new(path).exists())
    }
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    program: &'static Program,
    ports: Ports,
}

impl Daemon {
    pub(super) fn start(program: &'static Program) -> io::Result<Self> {
        let path = program.find().ok_or(io::ErrorKind::NotFound)?;
        let folder = fresh_folder(program.name)?;
        // The server cannot report which ports the system chose; these were free a moment ago.
        let (clients, monitor) = (
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        );
        let ports = Ports {
            clients: clients.local_addr()?.port(),
            monitor: monitor.local_addr()?.port(),
        };
        drop((clients, monitor));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", path])
            .args((program.arguments)(ports, &folder))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            program,
            ports,
        })
    }

    /// Asks the server for the count of what its readers cost.
    pub(super) fn count(&self) -> io::Result<u64> {
        (self.program.count)(self.ports)
    }

    /// Connects as soon as the server answers.
    pub(super) async fn reach<T, E>(
        &self,
        connect: impl AsyncFn(&str) -> Result<T, E>,
    ) -> io::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let url = format!("{}://127.0.0.1:{}", self.program.scheme, self.ports.clients);
        let end = Instant::now() + LONGEST_START;
        loop {
            match connect(&url).await {
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
