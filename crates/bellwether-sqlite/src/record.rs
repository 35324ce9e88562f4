//! What is counted and checked of one record. Pure.

use bellwether_topics::broker::NewRecord;

/// What a record takes besides its texts: columns, cell and index entry.
const OVERHEAD: u64 = 48;

/// The bytes that a record counts for retention: about what it takes in the file.
pub(crate) fn size(topic: usize, event: usize, conflation_key: usize) -> u64 {
    // The topic's name is in the table and in the index.
    2 * topic as u64 + event as u64 + conflation_key as u64 + OVERHEAD
}

pub(crate) fn size_of(record: &NewRecord) -> u64 {
    let key = record.conflation_key.as_deref().unwrap_or_default();
    size(record.topic.len(), record.event.len(), key.len())
}

/// The record of the same topic before one, by which readers notice an index that leaves records out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    /// Zero if there was none; if the topic was forgotten, an offset behind all of its records.
    pub(crate) offset: u64,
    /// The tag of that record, if it was exactly there.
    pub(crate) tag: Option<u32>,
}

/// CRC-32 of all that a record holds. SQLite notices pages that are not valid, but not a byte of an event that changed.
pub(crate) fn checksum(
    offset: u64,
    tag: u32,
    topic: &str,
    event: &[u8],
    conflation_key: Option<&str>,
    previous: Option<Previous>,
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&tag.to_le_bytes());
    // With the lengths, a byte that moves from one field to the next changes the checksum.
    hasher.update(&(topic.len() as u64).to_le_bytes());
    hasher.update(topic.as_bytes());
    match conflation_key {
        None => hasher.update(&[0]),
        Some(key) => {
            hasher.update(&[1]);
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key.as_bytes());
        }
    }
    hasher.update(event);
    // A record of the first version of the schema has none.
    if let Some(previous) = previous {
        hasher.update(&previous.offset.to_le_bytes());
        hasher.update(&previous.tag.unwrap_or(0).to_le_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Option<Previous> = Some(Previous {
        offset: 0,
        tag: None,
    });

    #[test]
    fn a_checksum_covers_every_field() {
        let right = checksum(1, 2, "ab", b"cd", Some("e"), BEFORE);
        for wrong in [
            checksum(1, 2, "ab", b"cd", Some("e"), None),
            checksum(2, 2, "ab", b"cd", Some("e"), BEFORE),
            checksum(1, 3, "ab", b"cd", Some("e"), BEFORE),
            checksum(1, 2, "aB", b"cd", Some("e"), BEFORE),
            checksum(1, 2, "ab", b"cD", Some("e"), BEFORE),
            checksum(1, 2, "ab", b"cd", Some("f"), BEFORE),
            checksum(1, 2, "ab", b"cd", None, BEFORE),
            checksum(1, 2, "abe", b"cd", Some(""), BEFORE),
            checksum(1, 2, "ab", b"ecd", Some(""), BEFORE),
        ] {
            assert_ne!(right, wrong);
        }
    }
}
