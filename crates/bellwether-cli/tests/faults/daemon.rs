//! [`Daemon`]: the broker's server, Redis or NATS, under one name.

use std::path::Path;

use bellwether_testkit::{NatsServer, RedisServer, or_skip};

/// A broker that is a server.
#[derive(Debug)]
pub(crate) enum Daemon {
    Redis(RedisServer),
    Nats(NatsServer),
}

/// Calls the method of the same name on either server.
macro_rules! either {
    ($daemon:expr, $server:ident => $call:expr) => {
        match $daemon {
            Daemon::Redis($server) => $call,
            Daemon::Nats($server) => $call,
        }
    };
}

impl Daemon {
    /// A Redis server, unless the machine has none.
    pub(crate) async fn redis() -> Option<Self> {
        or_skip(RedisServer::start(&[]).await).map(Self::Redis)
    }

    /// A NATS server, unless the machine has none.
    pub(crate) async fn nats() -> Option<Self> {
        or_skip(NatsServer::start("").await).map(Self::Nats)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "Redis",
            Self::Nats(_) => "NATS",
        }
    }

    pub(crate) fn url(&self) -> String {
        either!(self, server => server.url())
    }

    pub(crate) fn folder(&self) -> &Path {
        either!(self, server => server.folder())
    }

    pub(crate) async fn kill(&mut self) {
        either!(self, server => server.kill().await);
    }

    pub(crate) async fn stop(&mut self) {
        either!(self, server => server.stop().await);
    }

    pub(crate) async fn start_again(&mut self) {
        either!(self, server => server.start_again().await);
    }

    pub(crate) async fn pause(&self) {
        either!(self, server => server.pause().await);
    }

    pub(crate) async fn resume(&self) {
        either!(self, server => server.resume().await);
    }
}
