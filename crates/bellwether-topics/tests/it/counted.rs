//! A broker in memory that counts its reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_topics::broker::{
    Bounds, Broker, BrokerFuture, NewRecord, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Memory, Offset};

#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) log: Memory,
    reads: Arc<AtomicUsize>,
    /// Whether its pages have what topics have lost.
    pub(crate) tells_trimmed: bool,
}

impl Counted {
    pub(crate) fn new(log: Memory) -> Self {
        Self {
            log,
            reads: Arc::default(),
            tells_trimmed: true,
        }
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Broker for Counted {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, bellwether_topics::broker::BrokerError>>> {
        self.log.append(records)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut page = self.log.read(request).await?;
            page.trimmed = page.trimmed.filter(|_| self.tells_trimmed);
            Ok(page)
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        self.log.tail(from)
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        self.log.bounds()
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        self.log.shutdown()
    }
}
