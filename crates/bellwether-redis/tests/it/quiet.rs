//! Quiet topics beside loud ones: what their readers get, and what they cost the server.

use std::sync::Arc;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, or_skip};
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bellwether_topics::{GapReason, ServerSentEvent, Topics};

use crate::support::{CommandLine, append, connect, gap, record, run_command, take};

#[tokio::test]
async fn a_quiet_topic_beside_a_loud_one_has_no_gap_that_is_not_its_own() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    for quiet_events in [1, 2] {
        run_command(&server, &["FLUSHALL"]).await;
        let builder = || RedisBroker::builder(server.url()).max_records(50);
        let topics = Topics::with(builder().connect().await.unwrap())
            .await
            .unwrap();
        let event = ServerSentEvent::text("7");
        let quiet = topics.topic("quiet").unwrap();
        let first = quiet.publish(&event).unwrap().await.unwrap().to_string();
        for _ in 1..quiet_events {
            quiet.publish(&event).unwrap().await.unwrap();
        }
        let loud = topics.topic("loud").unwrap();
        let published: Vec<_> = (0..500).map(|_| loud.publish(&event).unwrap()).collect();
        for published in published {
            published.await.unwrap();
        }
        topics.close().await.unwrap();

        let topics = Topics::with(builder().connect().await.unwrap())
            .await
            .unwrap();
        let quiet = topics.topic("quiet").unwrap();
        let mut reader = quiet.subscribe().after(first.as_str()).open().unwrap();
        quiet.publish(&event).unwrap().await.unwrap();
        if quiet_events == 2 {
            assert_eq!(gap(&mut reader).await.reason(), GapReason::Trimmed);
        }
        assert_eq!(take(&mut reader, 1).await, [7]);
        topics.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_quiet_topic_costs_the_server_no_read_of_others() {
    let Some(server) = or_skip(RedisServer::start(&["--appendonly", "no"]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let of = |topic: &str, number| NewRecord {
        topic: Arc::from(topic),
        ..record(number)
    };
    let first = append(&broker, &[of("quiet", 1)]).await[0];
    let batch: Vec<_> = (0..1000).map(record).collect();
    for _ in 0..5 {
        append(&broker, &batch).await;
    }
    append(&broker, &[of("quiet", 2), of("quiet", 3)]).await;
    append(&broker, &batch).await;
    let topics = [Arc::from("quiet")];
    let read = async |from| {
        let request = ReadRequest {
            from,
            topics: Some(&topics),
            max_records: 256,
            max_bytes: 64 << 10,
        };
        broker.read(request).await.unwrap().records
    };
    // One page has them all, and nothing of others.
    let page = read(first.cursor.offset).await;
    let tags = [1, 2, 3].map(|number| record(number).tag);
    assert_eq!(page.iter().map(|r| r.tag).collect::<Vec<_>>(), tags);
    assert_eq!(read(page[2].offset).await.len(), 1);
    // Without the hash, or with a record that another version has appended without it, they are found all the same.
    let mut cli = CommandLine::new(&server).await;
    let epoch = cli.text(&["HGET", "{bellwether}:about", "epoch"]).await;
    let tag = record(5).tag.to_string();
    let entry = ["epoch", &epoch, "tag", &tag, "topic", "quiet", "event", "x"];
    let id = cli
        .text(&[&["XADD", "{bellwether}:log", "*"], &entry[..]].concat())
        .await;
    cli.run(&["HSET", "{bellwether}:about", "last", &id]).await;
    append(&broker, &[of("quiet", 6)]).await;
    let page = read(page[2].offset).await;
    let tags: Vec<_> = page.iter().map(|r| r.tag).collect();
    assert!(tags.ends_with(&[5, 6].map(|number| record(number).tag)));
    run_command(&server, &["DEL", "{bellwether}:topics"]).await;
    append(&broker, &[of("quiet", 7)]).await;
    let mut from = first.cursor.offset;
    let mut found = Vec::new();
    loop {
        let page = read(from).await;
        let Some(last) = page.last().filter(|last| last.offset > from) else {
            break;
        };
        let new = page
            .iter()
            .filter(|r| r.offset > from && r.topic == topics[0]);
        found.extend(new.map(|r| r.tag));
        from = last.offset;
    }
    assert_eq!(found, [2, 3, 5, 6, 7].map(|number| record(number).tag));
}
