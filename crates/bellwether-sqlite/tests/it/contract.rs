//! The SQLite broker under the contract that every broker passes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::broker_contract::BrokerFactory;
use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;
use rusqlite::Connection;

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

    /// Tables of its own, an index, a checkpoint.
    async fn disturb(&self, broker: &SqliteBroker) -> bool {
        let other = Connection::open(broker.path()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        let sql = "CREATE TABLE IF NOT EXISTS bookkeeping (a); INSERT INTO bookkeeping VALUES (1);
                   CREATE INDEX IF NOT EXISTS by_a ON bookkeeping (a); UPDATE bookkeeping SET a = a + 1;
                   PRAGMA wal_checkpoint(TRUNCATE)";
        other.execute_batch(sql).unwrap();
        true
    }

    /// One bit of its event, in the file.
    async fn damage(&self, broker: Arc<SqliteBroker>, at: Offset) -> Option<Arc<SqliteBroker>> {
        broker.shutdown().await.unwrap();
        let path = broker.path().to_owned();
        drop(broker);
        let file = Connection::open(&path).unwrap();
        let sql = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE";
        file.execute_batch(sql).unwrap();
        let sql = "SELECT event FROM records WHERE offset = ?1";
        let event: Vec<u8> = file.query_row(sql, [at.low()], |row| row.get(0)).unwrap();
        file.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        drop(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let windows = bytes.windows(event.len()).enumerate();
        let places: Vec<_> = windows.filter(|(_, window)| *window == event).collect();
        let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
        assert!(!places.is_empty());
        for place in places {
            bytes[place] ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
        Some(Arc::new(SqliteBroker::open(path).unwrap()))
    }
}

bellwether_testkit::broker_contract_tests!(Factory::default());
