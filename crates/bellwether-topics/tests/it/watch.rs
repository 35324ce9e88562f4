//! The low-level way, by which a server serves many readers without a task for each.

use std::task::{Context, Poll, Waker};

use bellwether_topics::{Policy, Read, Retention, Taken, Topics, Watch};

use crate::shared::{numbers, publish, ready};

fn dirty(watch: &mut Watch) -> Vec<usize> {
    let mut tokens = Vec::new();
    let _ = watch.poll_dirty(&mut Context::from_waker(Waker::noop()), &mut tokens);
    tokens.into_iter().map(|token| token.index()).collect()
}

#[tokio::test]
async fn a_burst_of_publishes_wakes_a_watch_once() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let topics = Topics::new();
    let handles: Vec<_> = (0..3)
        .map(|n| topics.topic(&n.to_string()).unwrap())
        .collect();
    let mut watch = Watch::new();
    for topic in &handles {
        watch.add(topic);
    }
    assert_eq!(
        dirty(&mut watch),
        [0, 1, 2],
        "a new topic may have had events before"
    );
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(watch.poll_dirty(&mut cx, &mut Vec::new()), Poll::Pending);
    for n in 1..=100 {
        publish(&handles[2], n);
        publish(&handles[0], n);
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(dirty(&mut watch), [2, 0]);
    assert_eq!(dirty(&mut watch), [0_usize; 0], "each is reported once");
    publish(&handles[1], 1);
    assert_eq!(dirty(&mut watch), [1]);
}

#[test]
fn a_removed_topic_is_reported_no_more_and_its_token_is_used_again() {
    let topics = Topics::new();
    let (a, b) = (topics.topic("a").unwrap(), topics.topic("b").unwrap());
    let mut watch = Watch::new();
    let token = watch.add(&a);
    dirty(&mut watch);
    watch.remove(token);
    publish(&a, 1);
    assert_eq!(dirty(&mut watch), [0_usize; 0]);
    assert_eq!(watch.add(&b), token);
    drop(a);
    drop(b);
    assert_eq!(topics.topic_count(), 2, "one has history, one is watched");
    drop(watch);
    assert_eq!(topics.topic_count(), 1);
}

#[test]
fn shared_reads_and_own_reads_make_one_exact_stream() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    let mut shared = topic.reader();
    let mut readers: Vec<_> = (0..10).map(|_| topic.subscribe().open().unwrap()).collect();
    let mut got = vec![Vec::new(); 10];
    for round in 0..50 {
        for n in 0..3 {
            publish(&topic, round * 3 + n + 1);
        }
        let start = shared.position();
        let mut frames = Vec::new();
        while shared.read(1, &mut frames) == Read::Frames {}
        let shared_numbers = frames.iter().map(crate::checker::number);
        let shared_numbers: Vec<_> = shared_numbers.collect();
        for (index, reader) in readers.iter_mut().enumerate() {
            // Some are slow at times and catch up on their own.
            if (index as u64 + round).is_multiple_of(4) {
                continue;
            }
            if reader.is_shareable() && reader.position().is_same(&start) {
                reader.set_position(shared.position(), frames.len());
                got[index].extend(&shared_numbers);
            } else {
                got[index].extend(numbers(&ready(reader)));
            }
        }
    }
    for (reader, got) in readers.iter_mut().zip(&mut got) {
        got.extend(numbers(&ready(reader)));
        assert_eq!(*got, (1..=150).collect::<Vec<_>>());
    }
}

#[test]
fn a_shared_reader_that_is_overrun_says_so_and_its_readers_learn_of_their_gap() {
    let retention = Retention::new().max_events(3);
    let topics = Topics::builder().retention(retention).build();
    let topic = topics.topic("t").unwrap();
    let policy = Policy::skip_to_latest();
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    let mut shared = topic.reader();
    assert!(reader.position().is_same(&shared.position()));
    for n in 1..=10 {
        publish(&topic, n);
    }
    assert_eq!(shared.read(1 << 20, &mut Vec::new()), Read::Overrun);
    assert!(!reader.position().is_same(&shared.position()));
    let mut out = Vec::new();
    assert_eq!(reader.try_frames(1 << 20, &mut out), Taken::Some(1));
    assert_eq!(out[0].gap().unwrap().lost(), Some(10));
    assert!(reader.position().is_same(&shared.position()));
}

#[test]
fn only_plain_readers_are_shareable() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    assert!(topic.subscribe().open().unwrap().is_shareable());
    assert!(
        !topic
            .subscribe()
            .filter(|_| true)
            .open()
            .unwrap()
            .is_shareable()
    );
    assert!(!topics.subscribe(["t", "u"]).open().unwrap().is_shareable());
    let latest = Policy::latest_per_key();
    assert!(
        !topic
            .subscribe()
            .policy(latest)
            .open()
            .unwrap()
            .is_shareable()
    );
}
