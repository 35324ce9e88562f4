//! [`Gap`]: history that was lost to a reader, reported instead of a silent hole.

use std::fmt;

use bellwether_wire::{EventName, ServerSentEvent, event_name};

use crate::event::cursor::{Cursor, MAX_CURSOR_BYTES, Offset};

/// The event name of a gap on the wire, unless the response sets another.
pub const GAP_EVENT_NAME: EventName = event_name!("bellwether.gap");

/// Why history is lost to a reader. The names on the wire are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// `unknown`: what the client asked for is no cursor.
    Unknown,
    /// `epoch`: the cursor belongs to another history of the log.
    Epoch,
    /// `trimmed`: the log no longer keeps all that came after the cursor.
    Trimmed,
    /// `regressed`: the log no longer has the record that the cursor names, or never had; the broker lost its end.
    Regressed,
    /// `lag`: the reader was too slow, and its policy is to skip.
    Lag,
    /// `damaged`: the broker still has the events' offsets, but no longer their content.
    Damaged,
}

impl GapReason {
    /// Every reason, in a stable order.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Epoch,
        Self::Trimmed,
        Self::Regressed,
        Self::Lag,
        Self::Damaged,
    ];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Epoch => "epoch",
            Self::Trimmed => "trimmed",
            Self::Regressed => "regressed",
            Self::Lag => "lag",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// History that a reader does not get, and where the reader goes on.
///
/// ```
/// use bellwether_topics::{GAP_EVENT_NAME, GapReason, ServerSentEvent, Topics};
///
/// let topics = Topics::new();
/// let mut reader = topics.topic("news")?.subscribe().after("of another server").open()?;
/// let mut deliveries = Vec::new();
/// reader.try_frames(65_536, &mut deliveries);
/// let gap = deliveries[0].gap().unwrap();
/// assert_eq!(gap.reason(), GapReason::Unknown);
///
/// let event = gap.to_event(GAP_EVENT_NAME);
/// let text = String::from_utf8(event.encode().unwrap().to_vec()).unwrap();
/// assert!(text.starts_with("event: bellwether.gap\ndata: {"));
/// assert!(text.contains(r#""reason":"unknown","asked":"of another server""#));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) asked: Option<String>,
    pub(crate) floor: Offset,
    pub(crate) head: Offset,
    pub(crate) lost: Option<u64>,
    pub(crate) cursor: Cursor,
}

impl Gap {
    /// A gap up to this cursor, for a reader of which it is not known what it has had.
    pub(crate) fn in_doubt(cursor: Cursor) -> Self {
        Self {
            reason: GapReason::Unknown,
            asked: None,
            floor: cursor.offset,
            head: cursor.offset,
            lost: None,
            cursor,
        }
    }

    /// Why the history is lost.
    pub fn reason(&self) -> GapReason {
        self.reason
    }

    /// What the client asked for, or the position of the slow reader: at most 64 characters of printable ASCII, with
    /// `?` for any other character. The text is untrusted.
    pub fn asked(&self) -> Option<&str> {
        self.asked.as_deref()
    }

    /// Records up to this offset may be gone from the log.
    pub fn floor(&self) -> Offset {
        self.floor
    }

    /// The last record of the log.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// The number of the subscription's events that are lost, if it is known exactly.
    pub fn lost(&self) -> Option<u64> {
        self.lost
    }

    /// The position at which the subscription goes on: the next event is the first after it.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The gap as an event of this name with JSON data. Its id is [`cursor`](Self::cursor), so that the next reconnect
    /// does not lead to the same gap.
    ///
    /// The data is `{"reason":"trimmed","asked":"1.…","floor":40,"head":90,"lost":12}`; `asked` and `lost` can be `null`.
    /// An offset that is a pair of numbers is a string, `"1700000000000-0"`.
    pub fn to_event(&self, name: EventName) -> ServerSentEvent {
        use fmt::Write as _;

        let mut data = String::with_capacity(160);
        let offset = |offset: Offset| match offset.high() {
            0 => offset.to_string(),
            _ => format!("\"{offset}\""),
        };
        let asked = match &self.asked {
            // Printable ASCII, of which JSON escapes just these two.
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            None => "null".to_owned(),
        };
        let lost = self
            .lost
            .map_or_else(|| "null".to_owned(), |n| n.to_string());
        // Writing to a string does not fail.
        let _ = write!(
            data,
            "{{\"reason\":\"{}\",\"asked\":{asked},\"floor\":{},\"head\":{},\"lost\":{lost}}}",
            self.reason,
            offset(self.floor),
            offset(self.head),
        );
        ServerSentEvent::text(data).event(name).id(self.cursor.id())
    }
}

/// What the client asked for, made safe to show: it is untrusted text.
pub(crate) fn shown(asked: &str) -> String {
    asked
        .chars()
        .take(MAX_CURSOR_BYTES)
        .map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::cursor::Epoch;

    #[test]
    fn a_gap_on_the_wire_has_an_id_and_json_whatever_was_asked() {
        let mut gap = Gap {
            reason: GapReason::Unknown,
            asked: Some(shown("\"\\\nü\u{0}")),
            floor: Offset::new(3),
            head: Offset::pair(5, 6),
            lost: None,
            cursor: Cursor {
                epoch: Epoch(0),
                offset: Offset::new(3),
                tag: 0,
            },
        };
        assert_eq!(
            gap.to_event(GAP_EVENT_NAME).encode().unwrap(),
            "event: bellwether.gap\n\
             data: {\"reason\":\"unknown\",\"asked\":\"\\\"\\\\???\",\"floor\":3,\"head\":\"5-6\",\"lost\":null}\n\
             id: 1.00000000000.3.000000\n\n"
        );
        gap.asked = None;
        gap.lost = Some(2);
        let event = gap.to_event(GAP_EVENT_NAME);
        let data: serde_json::Value = serde_json::from_str(event.data().unwrap()).unwrap();
        assert_eq!(data["lost"], 2);
        assert_eq!(data["asked"], serde_json::Value::Null);
        assert_eq!(shown(&"x".repeat(1000)).len(), MAX_CURSOR_BYTES);
    }
}
