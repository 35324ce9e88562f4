//! [`RedisServer`]: a Redis server of the machine, for the tests of the Redis broker.

use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, DaemonKind, DaemonMissing};

/// A Redis server with a port and a data folder of its own.
///
/// It keeps an append-only file and syncs it with each command, so that it has what it acknowledged after a kill.
/// Dropping the value kills the process and removes the folder.
///
/// ```
/// use bellwether_testkit::{RedisServer, or_skip};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let Some(mut redis) = or_skip(RedisServer::start(&["--maxmemory", "50mb"]).await) else {
///     return;
/// };
/// assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
/// redis.kill().await;
/// redis.start_again().await;
/// # });
/// ```
pub type RedisServer = Daemon<Redis>;

impl RedisServer {
    /// Starts `redis-server` with these arguments after its own, so that they win, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`DaemonMissing`] if the machine has no `redis-server`.
    ///
    /// # Panics
    ///
    /// When it does not start; the message holds the end of its log.
    pub async fn start(arguments: &[&str]) -> Result<Self, DaemonMissing> {
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        Self::start_kind(Redis { arguments }).await
    }
}

/// What makes a [`Daemon`] a [`RedisServer`].
#[derive(Debug)]
pub struct Redis {
    arguments: Vec<String>,
}

impl DaemonKind for Redis {
    const PROGRAM: &'static str = "redis-server";
    const SCHEME: &'static str = "redis";
    const PACKAGE: &'static str = "redis-server";

    fn command(&self, home: &Path, port: u16) -> Command {
        let mut command = Command::new(Self::PROGRAM);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(home.join("data"))
            .arg("--pidfile")
            .arg(home.join("pid"))
            .arg("--logfile")
            .arg(home.join("log"))
            .args(&self.arguments);
        command
    }

    fn hello(&self) -> &'static [u8] {
        b"PING\r\n"
    }

    fn is_ready(&self, home: &Path, pid: u32, answer: &str) -> bool {
        // Another server may answer at the port; ours writes its id once it has bound it.
        let written = std::fs::read_to_string(home.join("pid")).unwrap_or_default();
        // A server with a password answers too: -NOAUTH.
        written.trim() == pid.to_string() && !answer.is_empty() && !answer.starts_with("-LOADING")
    }
}
