//! [`NatsServer`]: a NATS server of the machine with JetStream, for the tests of the NATS broker.

use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, DaemonMissing, Kind};

/// A NATS server with JetStream, a port and a data folder of its own.
///
/// Dropping the value kills the process and removes the folder.
///
/// ```
/// use bellwether_testkit::{NatsServer, or_skip};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let Some(mut nats) = or_skip(NatsServer::start("max_payload: 2MB").await) else {
///     return;
/// };
/// assert_eq!(nats.url(), format!("nats://127.0.0.1:{}", nats.port()));
/// nats.kill().await;
/// nats.start_again().await;
/// # });
/// ```
#[derive(Debug)]
pub struct NatsServer {
    daemon: Daemon<Nats>,
}

impl NatsServer {
    /// Starts `nats-server` with these lines of configuration after its own, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`DaemonMissing`] if the machine has no `nats-server`.
    ///
    /// # Panics
    ///
    /// When it does not start; the message holds the end of its log.
    pub async fn start(extra_config: &str) -> Result<Self, DaemonMissing> {
        let extra_config = extra_config.to_owned();
        let daemon = Daemon::start(Nats { extra_config }).await?;
        Ok(Self { daemon })
    }

    /// The address for clients: `nats://127.0.0.1:12345`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    /// The port, the same after [`NatsServer::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// The folder with JetStream's data and nothing else. It may be copied and replaced while the server is down.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.daemon.folder()
    }

    /// Kills the server (SIGKILL) and waits until it has gone.
    pub async fn kill(&mut self) {
        self.daemon.kill().await;
    }

    /// Asks the server to end (SIGTERM) and waits until it has gone.
    ///
    /// # Panics
    ///
    /// When it does not go within 30 seconds.
    pub async fn stop(&mut self) {
        self.daemon.stop().await;
    }

    /// Starts the ended server again, on the same port and folder, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        self.daemon.start_again().await;
    }

    /// Stops the running server where it stands (SIGSTOP): its connections stay open and silent.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn pause(&self) {
        self.daemon.signal("STOP").await;
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn resume(&self) {
        self.daemon.signal("CONT").await;
    }
}

#[derive(Debug)]
struct Nats {
    extra_config: String,
}

/// Unlike every other server's, also one that has the port by chance.
fn server_name(home: &Path) -> String {
    let name = home.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl Kind for Nats {
    const PROGRAM: &'static str = "nats-server";
    const PACKAGE: &'static str = "nats-server";

    fn command(&self, home: &Path, port: u16) -> Command {
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: \"{}\"\nlog_file: \"{}\"\njetstream: {{ store_dir: \"{}\" }}\n{}\n",
            server_name(home),
            home.join("log").display(),
            home.join("data").display(),
            self.extra_config,
        );
        let file = home.join("nats.conf");
        std::fs::write(&file, config).expect("the daemon's folder takes a file");
        let mut command = Command::new(Self::PROGRAM);
        command.arg("--config").arg(file);
        command
    }

    fn hello(&self) -> &'static [u8] {
        // The server speaks first, and only once JetStream has its streams back.
        b""
    }

    fn is_ready(&self, home: &Path, _pid: u32, answer: &str) -> bool {
        let name = format!("\"server_name\":\"{}\"", server_name(home));
        answer.starts_with("INFO ") && answer.contains(&name)
    }
}
