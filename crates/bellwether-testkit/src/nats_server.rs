//! [`NatsServer`]: a NATS server of the machine with JetStream, for the tests of the NATS broker.

use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, DaemonKind, DaemonMissing};

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
pub type NatsServer = Daemon<Nats>;

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
        Self::start_kind(Nats { extra_config }).await
    }
}

/// What makes a [`Daemon`] a [`NatsServer`].
#[derive(Debug)]
pub struct Nats {
    extra_config: String,
}

/// A name that no other server has, so that one which has the port by chance is recognised.
fn server_name(home: &Path) -> String {
    let name = home.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl DaemonKind for Nats {
    const PROGRAM: &'static str = "nats-server";
    const SCHEME: &'static str = "nats";
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
