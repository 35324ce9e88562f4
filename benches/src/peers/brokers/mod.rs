//! One and the same Bellwether server on each broker: its log in memory, in a file, in Redis, in NATS.
//!
//! Beside the routes of the fan-out family there are `/durable?publishers=P&events=N`, which publishes in the process
//! and answers with what it found, `/fill?events=N&size=B`, and `/replay`, a stream of everything from the log's first
//! event, read by a second node that has nothing in memory; `/crowd?readers=N&events=M` has many readers of quiet topics come
//! back to such a node.

mod daemons;
mod resume;
mod routes;

use std::io;
use std::sync::Arc;

use bellwether::{Retention, Topics};
use bellwether_nats::NatsBroker;
use bellwether_redis::RedisBroker;
use bellwether_sqlite::SqliteBroker;
use bellwether_topics::broker::Broker;

use super::{Family, Peer, ready, runtime};
use daemons::{Daemon, NATS, Program, REDIS};

/// A further broker is a function and an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "brokers",
    peers: &[MEMORY, SQLITE_FILE, REDIS_SERVER, NATS_SERVER],
};

/// Those whose log outlives a node.
pub(crate) static LASTING: Family = Family {
    name: "brokers that last",
    peers: &[SQLITE_FILE, REDIS_SERVER, NATS_SERVER],
};

const MEMORY: Peer = Peer {
    name: "memory",
    about: "`Topics::new()`, nothing on a disk",
    prepare: ready,
    serve: memory,
};

const SQLITE_FILE: Peer = Peer {
    name: "sqlite",
    about: "`SqliteBroker`, a file in the build's folder, every setting the default (a commit is an fsync)",
    prepare: ready,
    serve: sqlite,
};

const REDIS_SERVER: Peer = Peer {
    name: "redis",
    about: "`RedisBroker` on a `redis-server` of its own with `appendonly yes` and `appendfsync always`",
    prepare: |_| REDIS.find(),
    serve: redis,
};

const NATS_SERVER: Peer = Peer {
    name: "nats",
    about: "`NatsBroker` on a `nats-server` of its own, file storage, `sync_interval` the default (2 minutes)",
    prepare: |_| NATS.find(),
    serve: nats,
};

/// All that a question publishes stays in memory where there is nothing else.
fn everything() -> Retention {
    Retention::new().max_events(1 << 20).max_bytes(1 << 30)
}

fn memory() -> io::Result<()> {
    let topics = Topics::builder().retention(everything()).build();
    runtime()?.block_on(routes::serve(topics, None, None))
}

fn sqlite() -> io::Result<()> {
    let folder = daemons::fresh_folder("sqlite")?;
    let broker = SqliteBroker::open(folder.join("events.sqlite")).map_err(io::Error::other)?;
    runtime()?.block_on(serve(broker, None))
}

fn redis() -> io::Result<()> {
    on_daemon(&REDIS, async |url| RedisBroker::connect(url).await)
}

fn nats() -> io::Result<()> {
    on_daemon(&NATS, async |url| NatsBroker::connect(url).await)
}

fn on_daemon<B, E>(
    program: &'static Program,
    connect: impl AsyncFn(&str) -> Result<B, E>,
) -> io::Result<()>
where
    B: Broker,
    E: std::error::Error + Send + Sync + 'static,
{
    let daemon = Daemon::start(program)?;
    let daemon = Arc::new(daemon);
    runtime()?.block_on(async { serve(daemon.reach(connect).await?, Some(daemon)).await })
}

async fn serve(broker: impl Broker, daemon: Option<Arc<Daemon>>) -> io::Result<()> {
    let broker: Arc<dyn Broker> = Arc::new(broker);
    let topics = Topics::with(broker.clone())
        .await
        .map_err(io::Error::other)?;
    routes::serve(topics, Some(broker), daemon).await
}
