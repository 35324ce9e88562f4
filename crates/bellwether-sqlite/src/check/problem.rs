//! [`Problem`]: one thing that is wrong with a file, as a sentence.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong with a log's file. Its text names the offset and the topic, and has no data of an event.
///
/// ```
/// use bellwether_sqlite::Problem;
///
/// let problem = Problem::IndexLacks { offset: 7, topic: "news".into() };
/// assert_eq!(problem.to_string(), "the index over topics lacks record 7 of topic \"news\"");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A record is not what was written.
    Record {
        /// The record's offset.
        offset: u64,
        /// The record's topic, if it is known.
        topic: Option<Arc<str>>,
        /// Whether the record's row is missing.
        is_missing: bool,
    },
    /// A row has a number that no record can have, and is not what was written.
    Stray {
        /// The row's number.
        offset: u64,
    },
    /// A record names another record before it in its topic than the one that is there.
    Chain {
        /// The record's offset.
        offset: u64,
        /// The record's topic.
        topic: Arc<str>,
    },
    /// The index over topics lacks a record.
    IndexLacks {
        /// The record's offset.
        offset: u64,
        /// The record's topic.
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
        /// The message of SQLite.
        found: String,
    },
    /// The table of topics has a wrong offset for a topic's newest record.
    Newest {
        /// The topic.
        topic: Arc<str>,
    },
    /// An idempotency key names a record that was not published with it.
    Key {
        /// The key's topic.
        topic: Arc<str>,
        /// The record that it names.
        offset: u64,
    },
    /// One of the log's own counters is wrong.
    Counter {
        /// The counter: `head`, `floor`, `bytes`, `at`, `forgotten_to`, `epoch`.
        name: &'static str,
        /// The value in the file, or `nothing`.
        noted: String,
        /// The right value.
        expected: String,
    },
    /// Pages of the file are not valid.
    Pages {
        /// The message of SQLite.
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
