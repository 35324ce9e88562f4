//! What a reader got, block by block, as it stood on the wire.

use bellwether::Cursor;

/// One thing that a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event of the log: its id, and all its bytes without the blank line at the end.
    Event { id: String, bytes: Box<[u8]> },
    /// History was lost; the next event is the first after this place.
    Gap { after: String, reason: String },
}

/// What one block of a stream is to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Item(Item),
    KeepAlive,
    /// Only says when to come back.
    Retry,
    /// Gives a reader its first id.
    Opening(String),
}

impl Block {
    /// Reads a block without its blank line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let Some(id) = field("id") else {
            let is_comment = text.lines().all(|line| line.starts_with(':'));
            let is_retry = field("retry").is_some() && field("data").is_none();
            assert!(is_comment || is_retry, "neither id nor comment: {text:?}");
            return if is_comment {
                Self::KeepAlive
            } else {
                Self::Retry
            };
        };
        if field("event") == Some("bellwether.open") {
            return Self::Opening(id.to_owned());
        }
        Self::Item(match field("event") {
            Some("bellwether.gap") => {
                let data: serde_json::Value = serde_json::from_str(field("data").unwrap()).unwrap();
                Item::Gap {
                    after: id.to_owned(),
                    reason: data["reason"].as_str().unwrap().to_owned(),
                }
            }
            _ => Item::Event {
                id: id.to_owned(),
                bytes: bytes.into(),
            },
        })
    }
}

/// A place, to be compared with others of the same history.
pub(crate) fn place(id: &str) -> Cursor {
    id.parse().unwrap_or_else(|_| panic!("{id:?} is no cursor"))
}

/// The data of an event of one line.
pub(crate) fn data(bytes: &[u8]) -> &str {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("data: ")).unwrap()
}

#[test]
fn blocks_are_told_apart() {
    assert_eq!(Block::parse(b":"), Block::KeepAlive);
    assert_eq!(Block::parse(b"retry: 2000"), Block::Retry);
    let event = b"data: x\nid: 1.00000000007.42.000001";
    let item = Item::Event {
        id: "1.00000000007.42.000001".to_owned(),
        bytes: (*event).into(),
    };
    assert_eq!(Block::parse(event), Block::Item(item));
    assert_eq!(data(event), "x");
    let opening = b"event: bellwether.open\ndata: {}\nid: 1.00000000007.3.000000";
    let id = "1.00000000007.3.000000".to_owned();
    assert_eq!(Block::parse(opening), Block::Opening(id));
    let gap = b"event: bellwether.gap\ndata: {\"reason\":\"trimmed\"}\nid: 1.00000000007.3.000000";
    let item = Item::Gap {
        after: "1.00000000007.3.000000".to_owned(),
        reason: "trimmed".to_owned(),
    };
    assert_eq!(Block::parse(gap), Block::Item(item));
}
