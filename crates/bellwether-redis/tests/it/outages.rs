//! Servers that die, hang or close connections: nothing acknowledged is lost, nothing waits for long, all recovers.

use std::time::{Duration, Instant};

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, or_skip, within};
use bellwether_topics::broker::{Broker, BrokerError};
use bellwether_topics::{Delivery, Offset};

use crate::proxy::TcpProxy;
use crate::support::{
    CommandLine, Node, append, close_connections, connect, number, read, record, run_command, sleep,
};

/// How many numbers are published between two kills.
const EACH: u64 = 60;

/// Kills the server several times while one node publishes and another reads. Returns what the reader got.
async fn kills(arguments: &[&str]) -> Option<Vec<Delivery>> {
    let mut server = or_skip(RedisServer::start(arguments).await)?;
    let mut publisher = Node::open(connect(&server).await).await;
    let mut other = Node::open(connect(&server).await).await;
    let reading = tokio::spawn(async move {
        let mut deliveries = Vec::new();
        while deliveries.last().and_then(number) != Some(4 * EACH) {
            deliveries.push(other.reader.next().await.unwrap());
        }
        deliveries
    });
    for round in 1..=4_u64 {
        let publishing = tokio::spawn(async move {
            publisher.publish(EACH).await;
            publisher
        });
        if round < 4 {
            sleep(Duration::from_millis(20 * round)).await;
            server.kill().await;
            server.start_again().await;
        }
        publisher = publishing.await.unwrap();
    }
    let deliveries = within(Duration::from_secs(30), reading).await;
    Some(deliveries.expect("the reader catches up").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_syncs_always_loses_and_repeats_nothing() {
    let Some(deliveries) = kills(&["--appendfsync", "always"]).await else {
        return;
    };
    let numbers: Vec<_> = deliveries.iter().map(number).collect();
    let expected: Vec<_> = (1..=240).map(Some).collect();
    assert_eq!(numbers, expected, "each number once, in order, and no gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_syncs_each_second_leaves_no_silent_hole() {
    let Some(deliveries) = kills(&["--appendfsync", "everysec"]).await else {
        return;
    };
    let place_of = |wanted: u64| {
        deliveries
            .iter()
            .position(|deliveries| number(deliveries) == Some(wanted))
    };
    for lost in (1..=4 * EACH).filter(|number| place_of(*number).is_none()) {
        // One kill in each round: the gap of an earlier round does not count for this one.
        let round_began = place_of((lost - 1) / EACH * EACH).unwrap_or(0);
        let is_told = deliveries[round_began..]
            .iter()
            .any(|deliveries| deliveries.gap().is_some());
        assert!(is_told, "{lost}: {deliveries:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let Some(mut server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    // Several batches at a time, so that the kill falls into some.
    let publishers: Vec<_> = (0..4_u32)
        .map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0_u32.. {
                    let records = [record(publisher * 1_000_000 + number)];
                    let Ok(mut results) = broker.append(&records).await else {
                        break;
                    };
                    acknowledged.push(results.remove(0).unwrap().cursor);
                }
                acknowledged
            })
        })
        .collect();
    sleep(Duration::from_millis(200)).await;
    server.kill().await;
    server.start_again().await;
    let mut count = 0;
    for publisher in publishers {
        for cursor in publisher.await.unwrap() {
            let page = read(&broker, cursor.offset).await;
            let anchor = &page.records[0];
            assert_eq!((anchor.offset, anchor.tag), (cursor.offset, cursor.tag));
            assert_eq!(page.epoch, cursor.epoch);
            count += 1;
        }
    }
    assert!(count > 20, "{count} acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_fails_calls_in_time_and_is_used_again() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let timeout = Duration::from_millis(400);
    let broker = RedisBroker::builder(server.url())
        .timeout(timeout)
        .connect();
    let broker = broker.await.unwrap();
    let mut node = Node::open(broker.clone()).await;
    node.publish(3).await;
    assert_eq!(node.take(3).await, [1, 2, 3]);
    let mut tail = broker.tail(Offset::ZERO).await.unwrap();
    tail.next().await.unwrap();

    server.pause().await;
    for round in 0..2 {
        let began_at = Instant::now();
        let records = [record(100 + round)];
        let appended = broker.append(&records).await;
        assert!(is_unavailable(appended.err()), "an append");
        assert!(is_unavailable(broker.bounds().await.err()), "bounds");
        let elapsed = began_at.elapsed();
        assert!(elapsed < 4 * timeout, "two calls took {elapsed:?}");
    }
    let began_at = Instant::now();
    assert!(is_unavailable(tail.next().await.err()), "the tail");
    let elapsed = began_at.elapsed();
    assert!(
        elapsed < Duration::from_secs(4),
        "the tail took {elapsed:?}"
    );
    server.resume().await;

    // The stream was open all the time. The two records without a number of ours may be there, each at most once.
    node.publish(2).await;
    let mut numbers = Vec::new();
    while numbers.last() != Some(&5) {
        numbers.extend(node.take(1).await);
    }
    numbers.retain(|number| *number < 100);
    assert_eq!(numbers, [4, 5]);
    // The connections that were in doubt are gone: one for appends, one for reads, the node's tail, and this one.
    drop((tail, broker));
    let mut cli = CommandLine::new(&server).await;
    let clients = cli.text(&["CLIENT", "LIST", "TYPE", "normal"]).await;
    assert!(clients.lines().count() <= 4, "{clients}");
}

fn is_unavailable(error: Option<BrokerError>) -> bool {
    error.is_some_and(|error| !error.is_refused())
}

#[tokio::test]
async fn a_frozen_connection_costs_one_call() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let proxy = TcpProxy::to(server.port()).await;
    let timeout = Duration::from_millis(300);
    let broker = RedisBroker::builder(proxy.url()).timeout(timeout);
    let broker = broker.connect().await.unwrap();
    let mut node = Node::open(broker.clone()).await;
    node.publish(1).await;
    let mut tail = broker.tail(Offset::ZERO).await.unwrap();
    tail.next().await.unwrap();
    proxy.freeze();
    assert!(is_unavailable(broker.append(&[record(1)]).await.err()));
    append(&broker, &[record(2)]).await;
    assert!(is_unavailable(broker.bounds().await.err()));
    broker.bounds().await.unwrap();
    assert!(is_unavailable(tail.next().await.err()));

    // The same if the callers never wait until a call has failed.
    append(&broker, &[record(3)]).await;
    proxy.freeze();
    for number in [4, 5] {
        let records = [record(number)];
        within(timeout / 3, broker.append(&records)).await;
    }
    let began_at = Instant::now();
    append(&broker, &[record(6)]).await;
    assert!(began_at.elapsed() < timeout);
    // The second of the two may have had the time for a new connection.
    let mut numbers = node.take(4).await;
    if numbers.contains(&5) {
        numbers.extend(node.take(1).await);
    }
    numbers.retain(|number| *number != 5);
    assert_eq!(numbers, [1, 2, 3, 6]);
}

#[tokio::test]
async fn closed_connections_are_replaced() {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    node.publish(2).await;
    for _ in 0..3 {
        close_connections(&server).await;
        node.publish(2).await;
    }
    assert_eq!(node.take(8).await, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_append() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    append(&broker, &[record(1)]).await;
    close_connections(&server).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    append(&broker, &[record(2)]).await;
    broker.bounds().await.unwrap();
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let mut node = Node::open(broker.clone()).await;
    node.publish(1).await;
    run_command(&server, &["SCRIPT", "FLUSH"]).await;
    append(&broker, &[record(2)]).await;
    run_command(&server, &["SCRIPT", "FLUSH"]).await;
    broker.bounds().await.unwrap();
    assert_eq!(node.take(2).await, [1, 2]);
}
