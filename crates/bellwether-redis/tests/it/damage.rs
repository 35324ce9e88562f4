//! Entries of the log that lack a part: readers get what is whole and one gap over exactly the rest.

use bellwether_testkit::{RedisServer, TEST_TIMEOUT, log_lines, or_skip, within};
use bellwether_topics::{Delivery, GapReason, ServerSentEvent, Subscription, Topics};

use crate::support::{CommandLine, connect, number};

const LOG: &str = "{bellwether}:log";

/// A log of twenty records, every second one of `t` and the others of `u`, whose tenth entry was changed; each entry as
/// its fields. The server cannot change entries, so the stream is written again under its name.
async fn damaged(
    change: impl Fn(&mut Vec<(String, String)>),
) -> Option<(RedisServer, Vec<String>)> {
    let server = or_skip(RedisServer::start(&[]).await)?;
    let topics = Topics::with(connect(&server).await).await.unwrap();
    let mut ids = Vec::new();
    for number in 1..=20_u64 {
        let topic = topics
            .topic(if number % 2 == 0 { "t" } else { "u" })
            .unwrap();
        let event = ServerSentEvent::text(number.to_string());
        ids.push(topic.publish(&event).unwrap().await.unwrap().to_string());
    }
    topics.close().await.unwrap();
    let mut cli = CommandLine::new(&server).await;
    let entries: Vec<(String, Vec<(String, String)>)> =
        redis::from_redis_value(cli.run(&["XRANGE", LOG, "-", "+"]).await).unwrap();
    for (index, (id, mut fields)) in entries.into_iter().enumerate() {
        if index == 9 {
            change(&mut fields);
        }
        let mut words = vec!["XADD", "other", &id];
        words.extend(fields.iter().flat_map(|(name, value)| [&**name, &**value]));
        cli.run(&words).await;
    }
    cli.run(&["RENAME", "other", LOG]).await;
    Some((server, ids))
}

/// The numbers of events, and a zero for a gap over one damaged record.
async fn got(reader: &mut Subscription, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    while got.len() < count {
        let next = within(TEST_TIMEOUT, reader.next()).await;
        let delivery = next.expect("something comes").unwrap();
        match &delivery {
            Delivery::Gap(gap) => {
                assert_eq!((gap.reason(), gap.lost()), (GapReason::Damaged, Some(1)));
                got.push(0);
            }
            other => got.push(number(other).unwrap()),
        }
    }
    got
}

async fn check(
    what: &str,
    expected_of_others: &[u64],
    change: impl Fn(&mut Vec<(String, String)>),
) {
    log_lines::collect();
    let Some((server, ids)) = damaged(change).await else {
        return;
    };
    let topics = Topics::with(connect(&server).await).await.unwrap();
    let open = |topic: &str, id: &str| {
        let topic = topics.topic(topic).unwrap();
        topic.subscribe().after(id).open().unwrap()
    };
    for _ in 0..2 {
        let mut reader = open("t", &ids[1]);
        assert_eq!(
            got(&mut reader, 9).await,
            [4, 6, 8, 0, 12, 14, 16, 18, 20],
            "{what}"
        );
        let mut other = open("u", &ids[0]);
        let count = expected_of_others.len();
        assert_eq!(got(&mut other, count).await, expected_of_others, "{what}");
    }
    // And on.
    let mut reader = open("t", &ids[17]);
    assert_eq!(got(&mut reader, 1).await, [20]);
    let event = ServerSentEvent::text("22");
    topics
        .topic("t")
        .unwrap()
        .publish(&event)
        .unwrap()
        .await
        .unwrap();
    assert_eq!(got(&mut reader, 1).await, [22]);
    topics.close().await.unwrap();
    let port = format!(":{}/", server.port());
    let logged = log_lines::with(&["is not what was written", &port]);
    assert_eq!(logged.len(), 1, "once, and not for each reader: {logged:?}");
    let place = ids[9].split('.').nth(2).unwrap();
    assert!(
        logged[0].contains(place) && logged[0].contains(LOG),
        "{logged:?}"
    );
}

fn without(name: &'static str) -> impl Fn(&mut Vec<(String, String)>) {
    move |fields| fields.retain(|(field, _)| field != name)
}

const OTHERS: &[u64] = &[3, 5, 7, 9, 11, 13, 15, 17, 19];

#[tokio::test]
async fn an_entry_without_its_event_is_one_gap_for_its_own_readers() {
    check("no event", OTHERS, without("event")).await;
}

#[tokio::test]
async fn an_entry_without_its_tag_is_one_gap_for_its_own_readers() {
    check("no tag", OTHERS, without("tag")).await;
}

#[tokio::test]
async fn an_entry_whose_topic_is_lost_or_another_is_one_gap_for_its_own_readers() {
    check("no topic", OTHERS, without("topic")).await;
    let other = |fields: &mut Vec<(String, String)>| {
        let topic = fields.iter_mut().find(|(name, _)| name == "topic");
        topic.unwrap().1 = "u".to_owned();
    };
    // Readers of other topics get theirs by their own chain.
    check("another topic", OTHERS, other).await;
}

#[tokio::test]
async fn an_entry_that_names_none_before_it_and_no_event_is_one_gap() {
    let both = |fields: &mut Vec<(String, String)>| {
        fields.retain(|(field, _)| field != "before" && field != "event");
    };
    check("no event and none before", OTHERS, both).await;
}
