//! [`Problem`]: one thing that is wrong with a file, in plain words.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong with a log's file. Its text names the place and the topic, and never what an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A record is not what was written.
    Record {
        /// Its place.
        offset: u64,
        /// Whose it was, if that is known.
        topic: Option<Arc<str>>,
        /// Whether there is nothing in its place.
        is_missing: bool,
    },
    /// A row is where no record can be, and is not what was written.
    Stray {
        /// The number that it has.
        offset: u64,
    },
    /// A record says that another one came before it in its topic than is there.
    Chain {
        /// Its place.
        offset: u64,
        /// Its topic.
        topic: Arc<str>,
    },
    /// The index over topics lacks a record.
    IndexLacks {
        /// Its place.
        offset: u64,
        /// Its topic.
        topic: Arc<str>,
    },
    /// The index over topics has an entry too many.
    IndexDoubles {
        /// The record that the entry names.
        offset: u64,
        /// The topic that the entry is under.
        topic: Arc<str>,
    },
    /// The index over topics cannot be read.
    Index {
        /// What SQLite says.
        found: String,
    },
    /// The place of a topic's newest record is noted wrongly.
    Newest {
        /// The topic.
        topic: Arc<str>,
    },
    /// An idempotency key names a record that is not its own.
    Key {
        /// The key's topic.
        topic: Arc<str>,
        /// The record that it names.
        offset: u64,
    },
    /// A number that the log keeps of itself is wrong.
    Counter {
        /// Which one: `head`, `floor`, `bytes`, `at`, `forgotten_to`, `epoch`.
        name: &'static str,
        /// What is noted, or null.
        noted: String,
        /// What it should be.
        expected: String,
    },
    /// Pages of the file make no sense.
    Pages {
        /// What SQLite says.
        found: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record {
                offset,
                topic,
                is_missing,
            } => {
                write!(f, "record {offset}")?;
                match topic {
                    Some(topic) => write!(f, " of topic {topic:?}")?,
                    None => f.write_str(", whose topic is not known any more,")?,
                }
                f.write_str(match is_missing {
                    true => " is missing",
                    false => " is not what was written",
                })
            }
            Self::Stray { offset } => write!(
                f,
                "a row with the number {offset} is where no record can be, and is not what was written"
            ),
            Self::Chain { offset, topic } => write!(
                f,
                "record {offset} of topic {topic:?} names another record before it than is there"
            ),
            Self::IndexLacks { offset, topic } => write!(
                f,
                "the index over topics lacks record {offset} of topic {topic:?}"
            ),
            Self::IndexDoubles { offset, topic } => write!(
                f,
                "the index over topics has an entry too many: record {offset} under topic {topic:?}"
            ),
            Self::Index { found } => write!(f, "the index over topics cannot be read: {found}"),
            Self::Newest { topic } => write!(
                f,
                "the place of the newest record of topic {topic:?} is noted wrongly"
            ),
            Self::Key { topic, offset } => write!(
                f,
                "an idempotency key of topic {topic:?} names record {offset}, which was not published with it"
            ),
            Self::Counter {
                name,
                noted,
                expected,
            } => write!(
                f,
                "the log notes {name} as {noted}, and it should be {expected}"
            ),
            Self::Pages { found } => write!(f, "pages of the file make no sense: {found}"),
        }
    }
}
