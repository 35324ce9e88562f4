//! Retention: what is removed, what stays, and that no publisher waits for it.

use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::{eventually, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;

use crate::folder::Folder;
use crate::records::{all, append, fill, keyed, record};

fn left(broker: &SqliteBroker) -> u64 {
    let mut bounds = broker.bounds();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match bounds.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(Ok(bounds)) => bounds.head.low() - bounds.floor.low(),
        _ => u64::MAX,
    }
}

#[tokio::test]
async fn a_log_keeps_as_many_records_as_it_may_and_their_numbers_go_on() {
    let folder = Folder::new();
    let open = || SqliteBroker::builder(folder.log()).max_records(100).open();
    let broker = open().unwrap();
    fill(&broker, 0..1000).await;
    eventually("the log", Duration::from_secs(10), || left(&broker) == 100).await;
    assert_eq!(all(&broker).await, (900..1000).collect::<Vec<_>>());
    broker.shutdown().await.unwrap();
    let broker = open().unwrap();
    let stored = fill(&broker, 1000..1001).await;
    assert_eq!(stored[0].cursor.offset, Offset::new(1001));
}

#[tokio::test]
async fn a_publisher_that_waits_for_each_commit_waits_for_no_sync_of_removal() {
    let folder = Folder::new();
    let builder = SqliteBroker::builder(folder.log()).max_records(1000);
    let broker = builder.open().unwrap();
    fill(&broker, 0..1000).await;
    let mut beyond = Vec::new();
    for number in 1000..1400 {
        append(&broker, &[record("t", number)]).await.unwrap();
        beyond.push(left(&broker) - 1000);
    }
    beyond.sort_unstable();
    let (half, most) = (beyond[200], beyond[399]);
    println!("half of the publishes found {half} records too many, at most {most}");
    // Removed beside the batches once it is worth it, and not after each.
    assert!(half >= 10 && most <= 63);
    eventually("the log", Duration::from_secs(10), || left(&broker) == 1000).await;
}

#[tokio::test]
async fn a_log_keeps_as_many_bytes_as_it_may_but_always_the_newest_record() {
    let folder = Folder::new();
    let builder = SqliteBroker::builder(folder.log()).max_bytes(10_000);
    let broker = builder.open().unwrap();
    fill(&broker, 0..2000).await;
    // Each counts its text, its topic twice and 48 bytes: 61 of them.
    eventually("the log", Duration::from_secs(10), || {
        (150..=165).contains(&left(&broker))
    })
    .await;
    broker.shutdown().await.unwrap();
    let broker = SqliteBroker::builder(folder.log())
        .max_bytes(0)
        .open()
        .unwrap();
    eventually("the log", Duration::from_secs(10), || left(&broker) == 1).await;
    assert_eq!(all(&broker).await, [1999]);
    fill(&broker, 2000..2001).await;
    eventually("the log", Duration::from_secs(10), || left(&broker) == 1).await;
    assert_eq!(all(&broker).await, [2000]);
}

#[tokio::test]
async fn a_quiet_log_forgets_what_is_too_old() {
    let folder = Folder::new();
    let age = Some(Duration::from_millis(1));
    let builder = SqliteBroker::builder(folder.log()).max_age(age);
    let broker = builder.open().unwrap();
    fill(&broker, 0..50).await;
    eventually("the log", Duration::from_secs(10), || left(&broker) == 1).await;
    assert_eq!(all(&broker).await, [49]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_go_on_while_many_records_are_removed() {
    const MANY: u64 = 60_000;
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    fill(&broker, 0..MANY).await;
    let trim = tokio::spawn({
        let broker = broker.clone();
        async move { broker.trim_to(100).await }
    });
    // How far removal got from one publish to the next, in records.
    let mut between = Vec::new();
    let mut before = broker.bounds().await.unwrap().floor.low();
    while !trim.is_finished() {
        let number = MANY + between.len() as u64;
        append(&broker, &[record("t", number)]).await.unwrap();
        let floor = broker.bounds().await.unwrap().floor.low();
        between.push(floor - before);
        before = floor;
    }
    trim.await.unwrap().unwrap();
    let published = between.len() as u64;
    between.sort_unstable();
    let half = between[between.len() / 2];
    println!("{published} publishes meanwhile, half of them after at most {half} removed records");
    // One step beside its batch and few before it, unless this task itself did not get to run.
    assert!(half <= 8 * 512);
    assert!(left(&broker) <= 100 + published);
}

#[tokio::test]
async fn a_key_is_known_after_its_record_was_removed_and_after_a_restart() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let first = append(&broker, &[keyed("t", 0, "k")]).await.unwrap();
    fill(&broker, 1..100).await;
    broker.trim_to(5).await.unwrap();
    broker.shutdown().await.unwrap();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let again = append(&broker, &[keyed("t", 100, "k")]).await.unwrap();
    assert!(again[0].is_duplicate);
    assert_eq!(again[0].cursor, first[0].cursor);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_misses_answers_and_tries_again_publishes_once() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let mut offsets = Vec::new();
    for number in 0..300_u64 {
        let records = [keyed("t", number, &number.to_string())];
        // Every third answer is not waited for, some of them at once and some a moment later.
        if number % 3 == 0 {
            let moment = Duration::from_micros(number * 3);
            let _ = within(moment, broker.append(&records)).await;
        }
        let first = append(&broker, &records).await.unwrap()[0];
        let again = append(&broker, &records).await.unwrap()[0];
        assert!(again.is_duplicate);
        assert_eq!(first.cursor, again.cursor);
        offsets.push(first.cursor.offset.low());
    }
    assert_eq!(offsets, (1..=300).collect::<Vec<_>>());
    assert_eq!(all(&broker).await, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_oldest_keys_beyond_the_window_are_forgotten() {
    let folder = Folder::new();
    let hour = Duration::from_secs(3600);
    let open = |duration, max_keys| {
        SqliteBroker::builder(folder.log())
            .idempotency_window(duration, max_keys)
            .open()
            .unwrap()
    };
    let broker = open(hour, 10);
    for number in 0..30 {
        append(&broker, &[keyed("t", number, &number.to_string())])
            .await
            .unwrap();
    }
    let is_known = async |broker: &SqliteBroker, number: u64| {
        let stored = append(broker, &[keyed("t", number, &number.to_string())]).await;
        stored.unwrap()[0].is_duplicate
    };
    assert!(is_known(&broker, 29).await);
    // Forgotten in a quiet moment.
    broker.trim_to(20).await.unwrap();
    assert!(is_known(&broker, 22).await);
    assert!(!is_known(&broker, 5).await);
    broker.shutdown().await.unwrap();
    let broker = open(Duration::ZERO, 10);
    assert!(!is_known(&broker, 29).await);
}
