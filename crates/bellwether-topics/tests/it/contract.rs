//! The memory broker under the contract that every broker passes.

use std::sync::Arc;

use bellwether_testkit::broker_contract::{self, BrokerFactory};
use bellwether_topics::Memory;
use bellwether_topics::broker::Broker;

struct MemoryFactory;

impl BrokerFactory for MemoryFactory {
    type Broker = Memory;

    async fn open(&self) -> Arc<Memory> {
        Arc::new(Memory::default())
    }

    /// What it held ends with the process.
    async fn reopen(&self, broker: Arc<Memory>) -> Option<Arc<Memory>> {
        broker.shutdown().await.unwrap();
        None
    }

    async fn trim(&self, broker: &Memory, keep: usize) -> bool {
        broker.trim_to(keep);
        true
    }
}

bellwether_testkit::broker_contract_tests!(MemoryFactory);

#[tokio::test]
async fn the_suite_notices_a_broker_that_breaks_its_promises() {
    broker_contract::notices_broken_brokers(Memory::default).await;
}
