//! The contract that all brokers pass.

use std::sync::Arc;

use bellwether_nats::NatsBroker;
use bellwether_testkit::broker_contract::BrokerFactory;
use bellwether_testkit::{NatsServer, or_skip};
use bellwether_topics::broker::Broker as _;
use serde_json::json;

use crate::support;

struct Factory {
    server: NatsServer,
}

impl Factory {
    async fn start() -> Option<Self> {
        let server = or_skip(NatsServer::start("").await)?;
        Some(Self { server })
    }
}

impl BrokerFactory for Factory {
    type Broker = NatsBroker;

    async fn open(&self) -> Arc<NatsBroker> {
        Arc::new(support::builder(&self.server).connect().await.unwrap())
    }

    async fn reopen(&self, broker: Arc<NatsBroker>) -> Option<Arc<NatsBroker>> {
        broker.shutdown().await.unwrap();
        let builder = NatsBroker::builder(&self.server.url()).stream(broker.stream());
        Some(Arc::new(builder.connect().await.unwrap()))
    }

    async fn trim(&self, broker: &NatsBroker, keep: usize) -> bool {
        let client = support::client(&self.server).await;
        for max_msgs in [json!(keep), json!(-1)] {
            support::edit(&client, broker.stream(), |config| {
                config["max_msgs"] = max_msgs;
            })
            .await;
        }
        true
    }

    /// A stream and messages of its own, a consumer of the log, a setting that does not affect the log's records.
    async fn disturb(&self, broker: &NatsBroker) -> bool {
        let client = support::client(&self.server).await;
        let name = support::stream_name();
        let config = json!({"name": name, "subjects": [format!("{name}.>")]});
        support::api(&client, &format!("STREAM.CREATE.{name}"), config).await;
        client
            .publish(format!("{name}.a"), "b".into())
            .await
            .unwrap();
        client.flush().await.unwrap();
        let consumer = json!({"stream_name": broker.stream(), "config": {"ack_policy": "none"}});
        let what = format!("CONSUMER.CREATE.{}", broker.stream());
        support::api(&client, &what, consumer).await;
        support::edit(&client, broker.stream(), |config| {
            config["description"] = json!("a note");
        })
        .await;
        true
    }
}

bellwether_testkit::broker_contract_tests!(match Factory::start().await {
    Some(factory) => factory,
    None => return,
});
