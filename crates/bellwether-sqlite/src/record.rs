//! What is counted and checked of one record. Pure.

use bellwether_topics::broker::NewRecord;

/// What a record takes besides its texts: columns, cell and index entry.
const OVERHEAD: u64 = 48;

/// The bytes that a record counts for retention: about what it takes in the file.
pub(crate) fn size(topic: usize, event: usize, conflation_key: usize) -> u64 {
    // The topic's name stands in the table and in the index.
    2 * topic as u64 + event as u64 + conflation_key as u64 + OVERHEAD
}

pub(crate) fn size_of(record: &NewRecord) -> u64 {
    let key = record.conflation_key.as_deref().unwrap_or_default();
    size(record.topic.len(), record.event.len(), key.len())
}

/// CRC-32 of all that a record holds. SQLite notices pages that make no sense, but not a letter that changed.
pub(crate) fn checksum(
    offset: u64,
    tag: u32,
    topic: &str,
    event: &[u8],
    conflation_key: Option<&str>,
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&tag.to_le_bytes());
    // Lengths keep a letter from moving from one field to the next unnoticed.
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
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_tells_every_field() {
        let right = checksum(1, 2, "ab", b"cd", Some("e"));
        for wrong in [
            checksum(2, 2, "ab", b"cd", Some("e")),
            checksum(1, 3, "ab", b"cd", Some("e")),
            checksum(1, 2, "aB", b"cd", Some("e")),
            checksum(1, 2, "ab", b"cD", Some("e")),
            checksum(1, 2, "ab", b"cd", Some("f")),
            checksum(1, 2, "ab", b"cd", None),
            checksum(1, 2, "abe", b"cd", Some("")),
            checksum(1, 2, "ab", b"ecd", Some("")),
        ] {
            assert_ne!(right, wrong);
        }
    }
}
