//! `bellwether serve`: a hub: topics over HTTP on a broker, a page that shows them, and static files.

mod broker;
mod hub;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::{self, Failure, REFUSED};
use broker::BrokerAddress;

/// Serve topics, a page to look into them, and static files.
///
/// GET /events?topic=T streams a topic and resumes after Last-Event-ID; POST /publish?topic=T publishes the body and
/// answers with the event's id (`&event=NAME` names the event; the same Idempotency-Key publishes once). GET /ready
/// says whether the broker answers. The inspector is at /, or at /inspector where DIR has an index.html. Events live
/// in the broker: memory: ends with the process, sqlite:FILE outlives it, and all nodes on one redis:// or nats://
/// server serve the same topics. Any client that reaches the address can read and publish. It is this machine alone
/// unless --bind says otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether serve
  bellwether serve ./public --bind 127.0.0.1:9000
  bellwether serve --broker sqlite:events.db
  bellwether serve --broker nats://127.0.0.1:4222 --bind 127.0.0.1:8001
  echo hello | bellwether send :8000 --topic news

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 it cannot be served or the broker cannot be used, 2 wrong usage.")]
pub(crate) struct ServeArguments {
    /// A folder of static files
    dir: Option<PathBuf>,

    /// The address to listen on [default: HOST and PORT of the environment, else 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    bind: Option<String>,

    /// Where events live: memory:, sqlite:FILE, redis://HOST:PORT or nats://HOST:PORT
    ///
    /// In the environment, other users of this machine do not see a password in it.
    #[arg(
        long,
        value_name = "URL",
        env = "BELLWETHER_BROKER",
        hide_env_values = true,
        default_value = "memory:"
    )]
    broker: Password,

    /// The most events that are kept, by the broker and in the memory of this node [default: the broker's; 16384 in
    /// memory]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    keep: Option<u64>,
}

/// Checks the form; whether the host is one of this machine is seen when it is bound.
fn listen_address(text: &str) -> Result<String, &'static str> {
    let is_port = |port: &str| {
        // `parse` takes a sign too.
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && is_port(port) => Ok(text.to_owned()),
        _ => Err("a host and a port from 0 to 65535 are needed, such as 127.0.0.1:8000"),
    }
}

/// Text that may hold a password.
#[derive(Clone)]
struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let broker = BrokerAddress::parse(&arguments.broker.0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(REFUSED, format_args!("cannot start: {error}")))?;
    runtime.block_on(serve(arguments, &broker))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &ServeArguments, broker: &BrokerAddress) -> Result<(), Failure> {
    let topics = broker.open(arguments.keep).await?;
    let dir = arguments.dir.as_ref();
    let has_index = dir.is_some_and(|dir| dir.join("index.html").is_file());
    let mut application = hub::application(topics.clone(), has_index)
        // After the last stream, so that what was published is safe before the process ends.
        .on_stop(|| async move { topics.close().await });
    if let Some(dir) = dir {
        application = application.serve_files(dir);
    }
    if let Some(address) = &arguments.bind {
        application = application.bind(address);
    }
    let served = application.run().await;
    served.map_err(|error| Failure::new(REFUSED, exit::with_causes(&error)))
}
