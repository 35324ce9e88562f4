//! A server program of the machine, started for one test: a port, a data folder, signals, its end.
//!
//! [`RedisServer`](crate::RedisServer) and [`NatsServer`](crate::NatsServer) are daemons of two kinds. A kind defines
//! how its program gets its port and how it shows that it is ready; everything else is here.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::{eventually, within};

/// The time that a daemon has to start or to stop: a machine with two busy cores is slow.
const SLOW: Duration = Duration::from_secs(30);

/// The number of ports that are tried.
const PORTS_TRIED: usize = 10;

/// Why there is no daemon: its program is missing.
///
/// [`or_skip`](crate::or_skip) turns it into a skipped or a failed test.
#[derive(Debug)]
pub struct DaemonMissing {
    program: &'static str,
    package: &'static str,
}

impl fmt::Display for DaemonMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, package } = self;
        write!(f, "no {program}: install the package {package}")
    }
}

impl std::error::Error for DaemonMissing {}

/// The program to start, and how it shows that it is ready.
pub trait DaemonKind: fmt::Debug + Send + Sync {
    /// The program's file name.
    const PROGRAM: &'static str;
    /// The scheme of the addresses for clients.
    const SCHEME: &'static str;
    /// The Debian package that has it.
    const PACKAGE: &'static str;

    /// The command, with its log in `home/log` and its data in `home/data`.
    fn command(&self, home: &Path, port: u16) -> Command;

    /// What a client sends first; empty if the server speaks first.
    fn hello(&self) -> &'static [u8];

    /// Whether the first answer comes from process `pid` in this home, and shows that it is ready.
    fn is_ready(&self, home: &Path, pid: u32, answer: &str) -> bool;
}

/// A running or ended server with a port and a data folder of its own.
///
/// Dropping it kills the process (SIGKILL, by its id) and removes the folder.
#[derive(Debug)]
pub struct Daemon<K> {
    kind: K,
    home: PathBuf,
    data: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl<K: DaemonKind> Daemon<K> {
    pub(crate) async fn start_kind(kind: K) -> Result<Self, DaemonMissing> {
        let home = new_home(K::PROGRAM);
        let data = home.join("data");
        std::fs::create_dir_all(&data).expect("the system's temporary folder takes a folder");
        let mut daemon = Self {
            kind,
            home,
            data,
            port: 0,
            child: None,
        };
        for _ in 0..PORTS_TRIED {
            daemon.port = any_port();
            if daemon.launch().await? {
                return Ok(daemon);
            }
        }
        panic!("{} started on no port; {}", K::PROGRAM, daemon.log());
    }

    /// The address for clients, such as `redis://127.0.0.1:12345`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", K::SCHEME, self.port)
    }

    /// The port, the same after [`Daemon::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the server's data and nothing else. It may be copied and replaced while the server is down.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.data
    }

    /// Starts the ended server again, on the same port and folder, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "{} still runs", K::PROGRAM);
        let is_started = self.launch().await.unwrap_or_else(|error| {
            panic!("it could be started once, and now there is {error}");
        });
        assert!(
            is_started,
            "{} did not start again; {}",
            K::PROGRAM,
            self.log()
        );
    }

    /// Kills the server (SIGKILL) and waits until it has ended.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            wait(&mut child).await;
        }
    }

    /// Asks the server to end (SIGTERM) and waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it does not end within 30 seconds.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(child.id(), "TERM").await;
            wait(&mut child).await;
        }
    }

    /// Stops the running server where it stands (SIGSTOP): its connections stay open and silent.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let child = self.child.as_ref();
        let pid = child.expect("a signal goes to a running program").id();
        send_signal(pid, name).await;
    }

    /// Starts the program; `false` if it has ended before it was ready, as it does when the port is taken.
    async fn launch(&mut self) -> Result<bool, DaemonMissing> {
        let mut command = self.kind.command(&self.home, self.port);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DaemonMissing {
                    program: K::PROGRAM,
                    package: K::PACKAGE,
                });
            }
            Err(error) => panic!("could not start {command:?}: {error}"),
        };
        let pid = child.id();
        let child = self.child.insert(child);
        let ready = async {
            loop {
                if child.try_wait().expect("a child can be asked").is_some() {
                    return false;
                }
                let answer = first_answer(self.port, self.kind.hello()).await;
                if answer.is_some_and(|answer| self.kind.is_ready(&self.home, pid, &answer)) {
                    return true;
                }
                // Not a clock that a test may have paused.
                within(Duration::from_millis(10), std::future::pending::<()>()).await;
            }
        };
        let is_ready = within(SLOW, ready).await;
        let is_ready = is_ready.unwrap_or_else(|| {
            panic!("{} did not answer in {SLOW:?}; {}", K::PROGRAM, self.log());
        });
        if !is_ready {
            self.child = None;
        }
        Ok(is_ready)
    }

    /// The end of the daemon's log, for messages.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(20);
        format!("the end of its log:\n  {}", lines[last..].join("\n  "))
    }
}

impl<K> Drop for Daemon<K> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may already have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What can't be removed is left to the system, which clears its temporary folder.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Sends a signal by its short name to a process that this process has started and not yet awaited.
pub(crate) async fn send_signal(pid: u32, name: &str) {
    // `kill` is built into every shell; a program of that name is not everywhere.
    let sent = tokio::process::Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {pid}"))
        .status()
        .await
        .expect("a Unix system has a shell");
    assert!(sent.success(), "could not send {name} to process {pid}");
}

async fn wait(child: &mut Child) {
    let pid = child.id();
    eventually(&format!("the end of process {pid}"), SLOW, || {
        child.try_wait().expect("a child can be asked").is_some()
    })
    .await;
}

/// The first answer of the server, as far as it comes in one read; `None` if no server answers.
async fn first_answer(port: u16, hello: &[u8]) -> Option<String> {
    let exchange = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        socket.write_all(hello).await.ok()?;
        let mut answer = vec![0; 4096];
        let length = socket.read(&mut answer).await.ok()?;
        answer.truncate(length);
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    within(Duration::from_secs(1), exchange).await.flatten()
}

/// A port below the range from which systems choose ports (Linux: 32768 to 60999), so that no other program gets it
/// while the daemon is down for a moment. Whether it is free shows when the daemon binds it.
fn any_port() -> u16 {
    let random = RandomState::new().hash_one(std::process::id());
    let offset = u16::try_from(random % 20_000).expect("it is below 20,000");
    12_000 + offset
}

fn new_home(program: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("bellwether-{program}-{}-{count}", std::process::id());
    std::env::temp_dir().join(name)
}
