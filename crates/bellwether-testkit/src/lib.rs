//! What the tests of Bellwether's crates share: a scripted byte client, started programs, servers
//! of the machine (Redis, NATS), a browser.
//!
//! A dev-dependency only. Everything here is written for tests: a wait that lasts too long, or a peer that breaks HTTP,
//! panics with a message that has what was awaited and what had arrived. Deadlines run on the machine's clock, so they
//! neither fire nor hang when a test pauses tokio's.

pub mod broker_contract;
mod browser;
mod chunks;
mod client;
mod daemon;
mod deadline;
mod head;
pub mod log_lines;
mod nats_server;
mod program;
mod redis_server;
mod script;
mod skip;

pub use browser::{Browser, BrowserError, Tab};
pub use client::{BodyEnd, RawClient};
pub use daemon::{Daemon, DaemonKind, DaemonMissing};
pub use deadline::{TEST_TIMEOUT, eventually, within};
pub use head::Head;
pub use nats_server::{Nats, NatsServer};
pub use program::{Program, example_path};
pub use redis_server::{Redis, RedisServer};
pub use script::{Answer, Pipe, ScriptedServer, SeenRequest};
pub use skip::{REQUIRE_TOOLS, or_skip};
