//! The SQLite broker under the contract that every broker passes.

use std::sync::{Arc, Mutex};

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::broker_contract::BrokerFactory;
use bellwether_topics::broker::Broker;

use crate::folder::Folder;

/// Keeps the folders until its test is over.
#[derive(Default)]
struct Factory(Mutex<Vec<Folder>>);

impl BrokerFactory for Factory {
    type Broker = SqliteBroker;

    async fn open(&self) -> Arc<SqliteBroker> {
        let folder = Folder::new();
        let broker = SqliteBroker::open(folder.log()).unwrap();
        self.0.lock().unwrap().push(folder);
        Arc::new(broker)
    }

    async fn reopen(&self, broker: Arc<SqliteBroker>) -> Option<Arc<SqliteBroker>> {
        broker.shutdown().await.unwrap();
        let path = broker.path().to_owned();
        Some(Arc::new(SqliteBroker::open(path).unwrap()))
    }

    async fn trim(&self, broker: &SqliteBroker, keep: usize) -> bool {
        broker.trim_to(keep as u64).await.unwrap();
        true
    }
}

bellwether_testkit::broker_contract_tests!(Factory::default());
