//! The contract that every broker keeps. A reopened log is one whose server was killed in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bellwether_redis::RedisBroker;
use bellwether_testkit::broker_contract::BrokerFactory;
use bellwether_testkit::{RedisServer, broker_contract_tests, or_skip};
use bellwether_topics::broker::Broker;
use tokio::sync::Mutex;

use crate::support::run_command;

struct Factory {
    /// Guards the server, which is killed and started by one test at a time.
    server: Mutex<RedisServer>,
    logs: AtomicU32,
}

impl Factory {
    async fn start() -> Option<Self> {
        Some(Self {
            server: Mutex::new(or_skip(RedisServer::start(&[]).await)?),
            logs: AtomicU32::new(0),
        })
    }

    async fn connect(&self) -> Arc<RedisBroker> {
        let url = self.server.lock().await.url();
        let name = format!("log{}", self.logs.load(Ordering::Relaxed));
        let broker = RedisBroker::builder(url).name(name).connect().await;
        Arc::new(broker.unwrap())
    }
}

impl BrokerFactory for Factory {
    type Broker = RedisBroker;

    async fn open(&self) -> Arc<RedisBroker> {
        self.logs.fetch_add(1, Ordering::Relaxed);
        self.connect().await
    }

    async fn reopen(&self, broker: Arc<RedisBroker>) -> Option<Arc<RedisBroker>> {
        broker.shutdown().await.unwrap();
        let mut server = self.server.lock().await;
        server.kill().await;
        server.start_again().await;
        drop(server);
        Some(self.connect().await)
    }

    async fn trim(&self, _: &RedisBroker, keep: usize) -> bool {
        let log = format!("{{log{}}}:log", self.logs.load(Ordering::Relaxed));
        let server = self.server.lock().await;
        run_command(&server, &["XTRIM", &log, "MAXLEN", &keep.to_string()]).await;
        true
    }

    /// Keys of its own, a reader of the stream, a group on it, a save.
    async fn disturb(&self, _: &RedisBroker) -> bool {
        let log = format!("{{log{}}}:log", self.logs.load(Ordering::Relaxed));
        let server = self.server.lock().await;
        for words in [
            &["INCR", "somebody's counter"][..],
            &["XADD", "somebody's stream", "*", "a", "b"],
            &["XRANGE", &log, "-", "+", "COUNT", "5"],
            &["XGROUP", "DESTROY", &log, "somebody's"],
            &["XGROUP", "CREATE", &log, "somebody's", "0"],
            &[
                "XREADGROUP",
                "GROUP",
                "somebody's",
                "c",
                "STREAMS",
                &log,
                ">",
            ],
            &["SAVE"],
        ] {
            run_command(&server, words).await;
        }
        true
    }
}

broker_contract_tests!(match Factory::start().await {
    Some(factory) => factory,
    None => return,
});
