//! [`Readers`]: hundreds of streams, each of which goes on after its last id when it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_testkit::{eventually, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Addresses;
use crate::http::EventStream;
use crate::journal::{Block, Item, data};
use crate::publisher::{LAST, TOPIC};

/// How long readers may take for anything.
const SLOW: Duration = Duration::from_secs(90);

/// Readers, spread over the nodes.
#[derive(Debug)]
pub(crate) struct Readers {
    readers: Vec<Arc<Reader>>,
    tasks: JoinSet<()>,
    is_reading: watch::Sender<bool>,
}

/// What one reader got so far.
#[derive(Debug, Default)]
struct Reader {
    items: Mutex<Vec<Item>>,
    events: AtomicUsize,
    /// 1 once the last event has come.
    is_done: AtomicUsize,
    opened: AtomicUsize,
    keep_alives: AtomicUsize,
}

impl Readers {
    /// Opens this number of streams and waits until each has its head: from then on it gets everything.
    pub(crate) async fn start(addresses: &Addresses, count: usize) -> Self {
        let mut readers = Self {
            readers: (0..count).map(|_| Arc::default()).collect(),
            tasks: JoinSet::new(),
            is_reading: watch::Sender::new(true),
        };
        readers.come_back(addresses);
        eventually("the heads of all streams", SLOW, || {
            readers.all(|reader| reader.opened.load(Ordering::Acquire) > 0)
        })
        .await;
        readers
    }

    /// Closes all streams.
    pub(crate) async fn leave(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Opens a stream for each reader that has left, after its last id, without waiting for it.
    pub(crate) fn come_back(&mut self, addresses: &Addresses) {
        for (node, reader) in self.readers.iter().enumerate() {
            let reading = self.is_reading.subscribe();
            self.tasks
                .spawn(reader.clone().read(addresses.clone(), node, reading));
        }
    }

    /// Waits until each reader has this number of events.
    pub(crate) async fn wait_for(&self, events: usize) {
        let what = format!("{events} events at each reader");
        eventually(&what, SLOW, || {
            self.all(|reader| reader.events.load(Ordering::Acquire) >= events)
        })
        .await;
    }

    /// Stops taking bytes from the sockets, or goes on with it. The streams stay open.
    pub(crate) fn read_on(&self, is_reading: bool) {
        self.is_reading.send_replace(is_reading);
    }

    /// How many streams each reader opened, at most.
    pub(crate) fn most_opened(&self) -> usize {
        let opened = |reader: &Arc<Reader>| reader.opened.load(Ordering::Acquire);
        self.readers.iter().map(opened).max().unwrap()
    }

    /// How many keep-alives each reader got, at least.
    pub(crate) fn least_keep_alives(&self) -> usize {
        let got = |reader: &Arc<Reader>| reader.keep_alives.load(Ordering::Acquire);
        self.readers.iter().map(got).min().unwrap()
    }

    /// Waits until each reader has the last event, and gives back what each got.
    pub(crate) async fn finish(mut self) -> Vec<Vec<Item>> {
        eventually("the last event at each reader", SLOW, || {
            self.all(|reader| reader.is_done.load(Ordering::Acquire) > 0)
        })
        .await;
        self.tasks.shutdown().await;
        let take = |reader: &Arc<Reader>| std::mem::take(&mut *reader.items.lock().unwrap());
        self.readers.iter().map(take).collect()
    }

    fn all(&self, is_true: impl Fn(&Reader) -> bool) -> bool {
        self.readers.iter().all(|reader| is_true(reader))
    }
}

impl Reader {
    async fn read(
        self: Arc<Self>,
        addresses: Addresses,
        mut node: usize,
        mut reading: watch::Receiver<bool>,
    ) {
        let mut last_id = self.last_id();
        loop {
            if let Some(address) = addresses.any_from(node)
                && let Ok(mut stream) = EventStream::open(&address, &path(), &last_id).await
            {
                self.opened.fetch_add(1, Ordering::AcqRel);
                // The end of a stream and a cut are the same to a reader: it comes back.
                while reading.wait_for(|&is_reading| is_reading).await.is_ok()
                    && let Ok(Some(block)) = stream.block().await
                {
                    self.take(&block, &mut last_id);
                }
            }
            node += 1;
            // Less than the server asks for, so that the test is over sooner.
            let rest = Duration::from_millis(20 + fastrand::u64(..200));
            tokio::time::sleep(rest).await;
        }
    }

    /// The id of the last thing that it got, empty before any.
    fn last_id(&self) -> String {
        match self.items.lock().unwrap().last() {
            Some(Item::Event { id, .. }) => id.clone(),
            Some(Item::Gap { after, .. }) => after.clone(),
            None => String::new(),
        }
    }

    fn take(&self, block: &[u8], last_id: &mut String) {
        match Block::parse(block) {
            Block::KeepAlive => {
                self.keep_alives.fetch_add(1, Ordering::AcqRel);
            }
            Block::Retry => {}
            Block::Opening(id) => *last_id = id,
            Block::Item(item) => {
                let is_last = match &item {
                    Item::Event { id, bytes } => {
                        id.clone_into(last_id);
                        self.events.fetch_add(1, Ordering::AcqRel);
                        data(bytes) == LAST
                    }
                    Item::Gap { after, .. } => {
                        after.clone_into(last_id);
                        false
                    }
                };
                self.items.lock().unwrap().push(item);
                if is_last {
                    self.is_done.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }
}

/// Reads everything that a node has, up to the last event.
pub(crate) async fn read_back(address: &str) -> Vec<Item> {
    let read = async {
        // No id of a log, so the answer begins with a gap and then with the oldest event.
        let mut stream = EventStream::open(address, &path(), "earliest")
            .await
            .unwrap();
        let mut items = Vec::new();
        loop {
            let block = stream.block().await.unwrap().unwrap();
            let Block::Item(item) = Block::parse(&block) else {
                continue;
            };
            let is_last = matches!(&item, Item::Event { bytes, .. } if data(bytes) == LAST);
            items.push(item);
            if is_last {
                return items;
            }
        }
    };
    within(SLOW, read)
        .await
        .expect("the log is read to its end")
}

fn path() -> String {
    format!("/events?topic={TOPIC}")
}
