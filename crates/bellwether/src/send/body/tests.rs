//! What a body gives to a shard, played without sockets.

use std::task::Waker;

use bellwether_topics::{LogReader, ServerSentEvent, Topic, Topics};

use super::*;
use crate::lifecycle::Lifecycle;
use crate::send::feed::Feed;
use crate::send::shard::read_frames;
use crate::send::stream_state::PollOrigin;
use crate::send::stream_state::ShardAttachment;
use crate::stream::StreamDefaults;

/// What a shard is to one body.
struct TestShard {
    feed: Arc<Feed>,
    log: LogReader,
    poll_origin: Arc<PollOrigin>,
    body: EventBody,
}

impl TestShard {
    fn new(topic: &Topic) -> Self {
        let log = topic.reader();
        let feed = Arc::new(Feed::new(log.position()));
        let poll_origin = Arc::<PollOrigin>::default();
        let stream_state = Arc::<StreamState>::default();
        let subscription = topic.subscribe().open().expect("a subscription");
        let body = EventBody::new(
            EventProducer::Subscription(subscription),
            StreamDefaults::new().options(),
            StreamGuard::open(Lifecycle::new(), "/".into()),
            Arc::default(),
            Some(Arc::clone(&stream_state)),
            true,
        );
        stream_state.attach(ShardAttachment {
            feed: Some(Arc::clone(&feed)),
            poll_origin: Arc::clone(&poll_origin),
        });
        Self {
            feed,
            log,
            poll_origin,
            body,
        }
    }

    /// Publishes, and brings it into the window.
    fn publish(&mut self, topic: &Topic, text: &str) {
        let published = topic.publish(&ServerSentEvent::text(text));
        drop(published.expect("a position in the log"));
        let (mut frames, mut positions) = (Vec::new(), Vec::new());
        read_frames(&mut self.log, usize::MAX, &mut frames, &mut positions);
        let end = self.log.position();
        self.feed.window().extend(&frames, &positions, end);
    }

    /// Polls once more in the same batch. Nothing if the body waits.
    fn poll(&mut self) -> Option<String> {
        let body = Pin::new(&mut self.body);
        let polled = self
            .poll_origin
            .poll(Waker::noop(), |cx| http_body::Body::poll_frame(body, cx));
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.into_data().expect("data");
                Some(String::from_utf8_lossy(&data).into_owned())
            }
            Poll::Pending => None,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_poll_batch_that_was_broken_off_hides_nothing_from_the_next() {
    let topics = Topics::new();
    let topic = topics.topic("news").expect("a name");
    let mut shard = TestShard::new(&topic);
    shard.poll_origin.begin_batch();
    assert!(
        shard
            .poll()
            .is_some_and(|opening| opening.starts_with("retry: "))
    );
    assert_eq!(shard.poll(), None);
    shard.publish(&topic, "one");
    shard.poll_origin.begin_batch();
    assert!(
        shard
            .poll()
            .is_some_and(|one| one.starts_with("data: one\n"))
    );
    // The piece was big enough, or the socket took no more: the shard did not poll until the body waited.
    shard.publish(&topic, "two");
    shard.poll_origin.begin_batch();
    assert!(
        shard
            .poll()
            .is_some_and(|two| two.starts_with("data: two\n"))
    );
    assert_eq!(shard.poll(), None);
    assert_eq!(shard.poll(), None);
}

#[test]
fn a_body_that_waits_holds_little() {
    assert!(size_of::<EventBody>() <= 304, "{}", size_of::<EventBody>());
    // With the two counts of its `Arc` it fills a block of 80 bytes, as allocators count.
    assert!(
        size_of::<StreamState>() <= 56,
        "{}",
        size_of::<StreamState>()
    );
}
