//! Single records: too large ones, keys that were used before, records that were trimmed since.

use bellwether_testkit::{NatsServer, or_skip};
use bellwether_topics::broker::Broker;
use bellwether_topics::{ServerSentEvent, Topics};
use bytes::Bytes;

use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_above_the_servers_limit_is_refused_and_others_are_not() {
    let Some(server) = or_skip(NatsServer::start("max_payload: 4096").await) else {
        return;
    };
    let broker = support::builder(&server).connect().await.unwrap();
    let mut large = support::record("t", 1);
    large.event = Bytes::from(vec![b'x'; 4096]);
    let list = [support::record("t", 0), large, support::record("t", 2)];
    let answers = broker.append(&list).await.unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert!(error.is_refused());
    assert!(error.to_string().contains("max_payload is 4096"), "{error}");
    assert_eq!(support::all_numbers(&broker).await, [0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_known_after_its_server_was_killed() {
    let Some((mut server, broker)) = support::start().await else {
        return;
    };
    let first = support::append(&broker, support::keyed(1)).await.unwrap();
    server.kill().await;
    server.start_again().await;
    let second = support::append(&broker, support::keyed(2)).await.unwrap();
    assert!(second.is_duplicate);
    assert_eq!(second.cursor, first.cursor, "with the tag that is stored");
    assert_eq!(support::all_numbers(&broker).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_record_that_was_trimmed_since_gives_the_first_id() {
    let started = support::start_with(|builder| builder.max_records(3)).await;
    let Some((server, broker)) = started else {
        return;
    };
    let other = support::same_log(&server, &broker).connect().await.unwrap();
    let node = Topics::with(broker.clone()).await.unwrap();
    let topic = node.topic("t").unwrap();
    let publish = |topic: &bellwether_topics::Topic| {
        let event = ServerSentEvent::text("once");
        topic.publish_with_key("k", &event).unwrap()
    };
    let first = publish(&topic).await.unwrap();
    support::fill(&broker, 1..9).await;
    let other = Topics::with(other).await.unwrap();
    for node in [&node, &other, &node] {
        let again = publish(&node.topic("t").unwrap()).await.unwrap();
        assert_eq!(again, first);
    }
    assert_eq!(support::all_numbers(&broker).await, [6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_keep_their_order_across_windows() {
    let Some((_server, broker)) = support::start().await else {
        return;
    };
    let stored = support::fill(&broker, 0..2000).await;
    let offsets: Vec<_> = stored
        .iter()
        .map(|stored| stored.cursor.offset.low())
        .collect();
    assert_eq!(offsets, (1..=2000).collect::<Vec<_>>());
    assert_eq!(
        support::all_numbers(&broker).await,
        (0..2000).collect::<Vec<_>>()
    );
    assert!(broker.append(&[]).await.unwrap().is_empty());
}
