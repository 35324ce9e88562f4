//! Files of earlier versions of the schema.

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::broker::Broker;
use rusqlite::{Connection, params};

use crate::folder::Folder;
use crate::records::{all, fill};

const FIRST: &str = "
PRAGMA application_id = 0x42776c67;
PRAGMA user_version = 1;
CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, head INTEGER NOT NULL,
    floor INTEGER NOT NULL, bytes INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE records (offset INTEGER PRIMARY KEY, topic TEXT NOT NULL, tag INTEGER NOT NULL, at INTEGER NOT NULL,
    conflation_key TEXT, checksum INTEGER NOT NULL, event BLOB NOT NULL) STRICT;
CREATE INDEX records_by_topic ON records (topic);
CREATE TABLE keys (topic TEXT NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, tag INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (topic, key)) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_offset ON keys (offset);
INSERT INTO log VALUES (1, 77, 12, 2, 1000, 5);
";

/// As the first version made them: over offset, tag, topic, no key, event.
fn checksum(offset: u64, tag: u32, event: &[u8]) -> u32 {
    let mut bytes = Vec::new();
    bytes.extend(offset.to_le_bytes());
    bytes.extend(tag.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(b"t\0");
    bytes.extend(event);
    crc32fast::hash(&bytes)
}

#[tokio::test]
async fn a_log_of_the_first_version_goes_on_in_the_same_epoch() {
    let folder = Folder::new();
    {
        let file = Connection::open(folder.log()).unwrap();
        file.execute_batch(FIRST).unwrap();
        for offset in 3..=12_u64 {
            let event = format!("data: {offset}\n\n").into_bytes();
            let sum = checksum(offset, 9, &event);
            let sql = "INSERT INTO records VALUES (?1, 't', 9, ?4, NULL, ?2, ?3)";
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            let now = now.as_millis() as u64;
            file.execute(sql, params![offset, sum, event, now]).unwrap();
        }
    }
    for round in 0..2 {
        let broker = SqliteBroker::open(folder.log()).unwrap();
        assert_eq!(broker.bounds().await.unwrap().epoch.0, 77);
        fill(&broker, 13 + round..14 + round).await;
        assert_eq!(all(&broker).await, (3..=13 + round).collect::<Vec<_>>());
        broker.shutdown().await.unwrap();
    }
}
