//! The [`Broker`] contract: where a log lives that outlives its process or is shared by several.
//!
//! A broker stores records and hands them back. This crate does everything else, for all brokers: one task per node and
//! log follows the tail and fills the memory that all local readers share. Only readers older than that memory read
//! pages from the broker, a bounded number of them at a time. A broker never sees readers, filters, gaps or HTTP.
//!
//! # What a broker promises
//!
//! - **Order.** Each record gets an [`Offset`] larger than all before it. Within one call of [`append`](Broker::append)
//!   the records keep their order. Offsets may leave holes and need not count from one.
//! - **Durability.** `append` gives a position only when the record is as safe as the broker ever makes it, and no
//!   record is visible to `read` or `tail` before that.
//! - **Ids.** Record, tag and keys come back unchanged, for as long as the record exists.
//! - **Removal.** Records are removed only at the front. Then "the record at S exists" proves that everything after it
//!   does, which is what exact resume rests on. A broker that removes records elsewhere (per subject, per key, by hand)
//!   must take a new epoch.
//! - **Head.** Unless no record was ever appended, the record at the log's head exists and can be read. It is the
//!   newest one, which is never removed.
//! - **Epoch.** 64 random bits, stored with the log. The log takes a new epoch whenever it cannot prove that it still
//!   has every offset it ever gave out, and may give one out again. Tags catch what an epoch misses: a log that lost
//!   its end without noticing.
//! - **Once.** A record whose topic and idempotency key were appended within the broker's window is not appended again.
//!   The broker returns the position of the first record, also if both are in one call, after a restart, and after the
//!   first record was removed. A caller that appends under a key again gives the same tag, by which a broker may
//!   recognise the record.
//! - **Threads.** All methods may be called at the same time from any task. Futures may be dropped at any point; a
//!   dropped `append` may or may not have happened.
//! - **Failures.** [`BrokerError::unavailable`]: the caller may try again, and an append may have happened all the
//!   same. [`BrokerError::refused`]: these records can never be stored, and were not. A call that cannot get an answer
//!   fails within seconds rather than hang. The node gives up on it after 5 s in any case.
//! - **Stop.** After [`shutdown`](Broker::shutdown) every call fails, tails end with an error, and what was appended is
//!   safe.
//!
//! # How brokers map onto it
//!
//! | | SQLite | Redis Streams | NATS JetStream |
//! |---|---|---|---|
//! | log | one table | one stream, topic in a field | one stream, subject = prefix + encoded topic |
//! | offset | row id (never reused) | `ms-seq`, an [`Offset::pair`] | stream sequence, sparse per topic |
//! | epoch | a row written with the file | `<key>:meta` and a field of each record | stream name and creation time |
//! | tag, keys | columns | fields | headers |
//! | `append` | one transaction, `synchronous=FULL`; the batch is the group commit | one pipeline of `XADD` | publishes in order, all acks awaited |
//! | `read` | one read transaction; the index on topic and offset makes `topics` cheap | `XRANGE from + COUNT n` | a pull from `from` |
//! | `newest` | the table of newest records, against the index | the hash of newest records, in one script | the last message of each subject, sixteen at once, and the stream's state |
//! | `tail` | a condition variable after commit | `XREAD BLOCK` on its own connection, timeout above the block | own pull consumer from `from`, recreated on any doubt |
//! | floor | first row − 1 | `recorded-first-entry-id` | `first_seq` − 1 |
//! | what a topic has lost | a table of newest records, and each record names the one before it | a hash of newest records, and the same | not known: the server does not report what it removes |
//! | once | unique index on topic and key | IDMP or a script | `Nats-Msg-Id` of topic and key |
//!
//! Traps: a Redis or NATS read that starts before the first record silently starts at the first record that is left, so
//! the broker must check the anchor. A filtered NATS sequence has holes, so never add one to it. A blocking read needs
//! its own deadline on the client's side.

pub(crate) mod catch_up;
pub(crate) mod health;
pub(crate) mod memory;
pub(crate) mod newest;
pub(crate) mod sync;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub use crate::error::BrokerError;
use crate::event::cursor::{Cursor, Epoch, Offset};

/// What the methods of a broker return.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BrokerError>> + Send + 'a>>;

/// Storage in which a log lives. The [module](self) says what an implementation promises.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Appends records in this order, and returns a result for each.
    ///
    /// The list has one entry for each record. An error instead of the list means that nothing is known about any of
    /// them. A node has one append under way at a time, and collects the next batch meanwhile.
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>>;

    /// Reads a page: **the record at `from` itself**, if it exists, and then those after it.
    ///
    /// At `from` zero there is no such record. The page holds every record after `from` of the wanted topics up to its
    /// last record, which is always included, whatever its topic, so that the end of a page is a position to go on
    /// from. Records of other topics may be included. A page that holds nothing after `from` means that nothing is
    /// there.
    ///
    /// `floor` and `trimmed` of the page must be read after its records, unless all come from one snapshot.
    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page>;

    /// The newest record of each of these topics, all in one call. The entry of a topic is `None` if its newest record
    /// is not certain.
    ///
    /// A reader that comes back has nothing to read if its topic's newest record is the last one that it saw. After a
    /// restart that is true of thousands of readers, so the node asks about many topics at once, at most 128. The
    /// broker may name a newest record that was removed. A broker that cannot find these records cheaply returns
    /// `None`, as the default implementation does, and each reader then reads a page.
    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        let _ = topics;
        Box::pin(async { Ok(None) })
    }

    /// Follows the log. The first page starts with the record **at** `from`, if it exists, like a read of all topics.
    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>>;

    /// The log's epoch and ends.
    fn bounds(&self) -> BrokerFuture<'_, Bounds>;

    /// Makes everything safe and releases files and connections.
    fn shutdown(&self) -> BrokerFuture<'_, ()>;
}

/// A shared broker is one too, for programs that keep a handle to theirs or choose it as they start.
impl<B: Broker + ?Sized> Broker for Arc<B> {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        (**self).append(records)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        (**self).read(request)
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        (**self).newest(topics)
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        (**self).tail(from)
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        (**self).bounds()
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        (**self).shutdown()
    }
}

/// A log being followed.
pub trait Tail: Send {
    /// Waits for the next records: returns at once if there are any, and an empty page after about a second of silence.
    ///
    /// The empty page is the heartbeat that tells a quiet log from a dead connection. A node that gets no page for some
    /// seconds drops the tail and opens another. Each page has the present epoch, floor and head; if the log was
    /// replaced or lost its end, they show it, or the call fails. After an error the node drops the tail.
    ///
    /// Dropping the future loses nothing: what it would have returned comes with the next call or the next tail.
    fn next(&mut self) -> BrokerFuture<'_, Page>;
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The topic's name: at most 255 bytes, without control characters.
    pub topic: Arc<str>,
    /// Random bits, to be stored. With an idempotency key they are the same for the same topic and key, so that a
    /// broker that knows a key, but has removed its record, can still return the first id.
    pub tag: u32,
    /// The encoded event, without an id.
    pub event: Bytes,
    /// Idempotency key, under which the record is appended only once.
    pub idempotency_key: Option<Arc<str>>,
    /// Conflation key, under which later records replace this one for slow readers; to be stored.
    pub conflation_key: Option<Arc<str>>,
}

/// The tag of a new record.
pub(crate) fn tag_of(topic: &str, idempotency_key: Option<&str>) -> u32 {
    let Some(key) = idempotency_key else {
        return fastrand::u32(..);
    };
    // FNV-1a, mixed as SplitMix64 does: the same in every build of every node. No topic's name contains NUL.
    let bytes = topic.bytes().chain([0]).chain(key.bytes());
    let mut bits = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Epoch, offset and the tag that is stored there.
    pub cursor: Cursor,
    /// Whether the idempotency key was known, so that the cursor is that of the earlier record.
    pub is_duplicate: bool,
}

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: Offset,
    /// The bits that it was appended with.
    pub tag: u32,
    /// The topic's name.
    pub topic: Arc<str>,
    /// The encoded event, without an id.
    pub event: Bytes,
    /// The key that it was appended with.
    pub conflation_key: Option<Arc<str>>,
    /// Whether the broker can no longer read the record. Its other fields are then what the broker still knows: readers
    /// get a gap in its place ([`GapReason::Damaged`](crate::GapReason)) and go on behind it.
    pub is_damaged: bool,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// The offset to start at, inclusive.
    pub from: Offset,
    /// The topics wanted; `None` for all.
    pub topics: Option<&'a [Arc<str>]>,
    /// About how many records to return at most; at least two, the anchor and one more.
    pub max_records: usize,
    /// About how many bytes of events to return at most; the first record after `from` comes in any case.
    pub max_bytes: usize,
}

/// What is known of the wanted topics' own records that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The offset of the last removed record of any of them, or a later one; at most the log's floor. Every record of
    /// these topics after it exists.
    pub to: Offset,
    /// The tag of that record, if it was exactly there.
    pub tag: Option<u32>,
}

/// A run of records, and the log's state when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The log's epoch.
    pub epoch: Epoch,
    /// Every record up to here may be gone, every later one exists.
    pub floor: Offset,
    /// The last record.
    pub head: Offset,
    /// The records, in order.
    pub records: Vec<Record>,
    /// For a read of some topics, what they have lost; `None` if the broker knows no more than its floor.
    ///
    /// It spares the reader of a quiet topic beside a loud one a gap if only its anchor was removed, and nothing of its
    /// own topics. Like the floor, it must be read after the records. The broker may bound what it keeps for this: of a
    /// topic that it has forgotten, it must name a later offset rather than an earlier one.
    pub trimmed: Option<Trimmed>,
}

/// What [`Broker::newest`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The newest record of all, at least as new as those of the topics.
    pub head: Offset,
    /// Offset and tag of each topic's newest record, in the order of the topics that were asked about.
    pub records: Vec<Option<(Offset, u32)>>,
}

/// A log's epoch and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The log's epoch.
    pub epoch: Epoch,
    /// Every record up to here may be gone, every later one exists.
    pub floor: Offset,
    /// The last record.
    pub head: Offset,
}
