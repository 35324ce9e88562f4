//! A broker that hangs: each of its calls fails, but only after some seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Memory, Offset, Topics};
use tokio::time::sleep;

/// How long a call hangs: less than the time after which the node is not ready.
const HANGS: Duration = Duration::from_secs(4);

/// A log in memory whose calls hang while a flag is set.
#[derive(Clone, Debug, Default)]
struct Hanging {
    broker: Memory,
    is_hanging: Arc<AtomicBool>,
}

impl Hanging {
    async fn answer<T>(&self, call: BrokerFuture<'_, T>) -> Result<T, BrokerError> {
        if self.is_hanging.load(Ordering::Relaxed) {
            sleep(HANGS).await;
            return Err(BrokerError::unavailable("no answer"));
        }
        call.await
    }
}

impl Broker for Hanging {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        Box::pin(self.answer(self.broker.append(records)))
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(self.answer(self.broker.read(request)))
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            let tail = self.answer(self.broker.tail(from)).await?;
            let hanging = self.clone();
            Ok(Box::new(HangingTail { tail, hanging }) as Box<dyn Tail>)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(self.answer(self.broker.bounds()))
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        self.broker.shutdown()
    }
}

struct HangingTail {
    tail: Box<dyn Tail>,
    hanging: Hanging,
}

impl Tail for HangingTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(self.hanging.answer(self.tail.next()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_not_ready_five_seconds_after_the_last_answer_of_its_broker() {
    let broker = Hanging::default();
    let node = Topics::with(broker.clone()).await.unwrap();
    // A quiet log is not silence: its tail returns an empty page every second.
    for _ in 0..100 {
        sleep(Duration::from_millis(200)).await;
        assert!(node.is_ready());
    }
    broker.is_hanging.store(true, Ordering::Relaxed);
    // The last page may have come up to a second ago, or be on its way.
    sleep(Duration::from_millis(3900)).await;
    assert!(node.is_ready());
    sleep(Duration::from_millis(2200)).await;
    assert!(!node.is_ready());

    broker.is_hanging.store(false, Ordering::Relaxed);
    // The call that hangs, the pause before the next attempt, and its first page.
    sleep(HANGS + Duration::from_secs(2)).await;
    assert!(node.is_ready());
}
