//! [`Gap`]: history that the server says is lost, read from `event: bellwether.gap`.

use std::fmt;

use bellwether_wire::{EventId, EventName, event_name};
use serde::Deserialize;

/// The name under which Bellwether's servers tell a gap.
pub(crate) const GAP_EVENT_NAME: EventName = event_name!("bellwether.gap");

/// History that this client does not get.
///
/// A gap comes instead of the missing events. The events before it are complete, and so are those after it. A
/// client that keeps state fetches the state again. The next reconnect resumes behind the gap.
///
/// ```no_run
/// use bellwether_client::{EventSource, Item};
///
/// # async fn run() -> Result<(), bellwether_client::Error> {
/// let mut source = EventSource::new("http://127.0.0.1:8000/prices")?;
/// while let Some(item) = source.next().await {
///     match item? {
///         Item::Gap(gap) => eprintln!("events are missing ({}): fetch the prices", gap.reason),
///         Item::Message(price) => println!("{}", price.data),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// What the server understood as the position to resume from, cut and cleaned by it.
    pub asked: Option<String>,
    /// Up to this position of the log, records may be gone. An offset is a number, or two joined by `-`.
    pub floor: Option<String>,
    /// The last record of the log.
    pub head: Option<String>,
    /// How many events are lost, where the server knows.
    pub lost: Option<u64>,
    /// Where the stream goes on, as the new last event id.
    pub last_event_id: EventId,
}

/// Why history is lost.
///
/// The list grows with the server: match the reasons that need an action of their own, and treat all others
/// alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// What the client asked for is no cursor of the server's.
    Unknown,
    /// The cursor belongs to another history of the log, which was created again.
    Epoch,
    /// The log no longer keeps all that came after the cursor.
    Trimmed,
    /// The log lost its end, and with it the record that the cursor names.
    Regressed,
    /// This client was too slow, and the server's policy is to skip.
    Lag,
    /// The broker still has the events' positions, but no longer their content; exactly those are lost.
    Damaged,
    /// A reason that this version does not know, as it was sent.
    Other(String),
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Epoch => "epoch",
            Self::Trimmed => "trimmed",
            Self::Regressed => "regressed",
            Self::Lag => "lag",
            Self::Damaged => "damaged",
            Self::Other(name) => name,
        })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost {
            Some(lost) => write!(f, "the server has lost {lost} events: {}", self.reason),
            None => write!(f, "the server has lost events: {}", self.reason),
        }
    }
}

/// The data as it comes over the wire.
#[derive(Deserialize)]
struct GapData {
    reason: String,
    asked: Option<String>,
    floor: Option<Offset>,
    head: Option<Offset>,
    lost: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Offset {
    Number(u64),
    Pair(String),
}

impl Offset {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Pair(pair) => pair,
        }
    }
}

impl Gap {
    /// What an event named as a gap means where nothing else can be made of it: history is lost, however it says so.
    pub(crate) fn told(data: &str, last_event_id: &EventId) -> Self {
        Self::read(data, last_event_id).unwrap_or_else(|| Self {
            reason: GapReason::Other("no reason was given".to_owned()),
            asked: None,
            floor: None,
            head: None,
            lost: None,
            last_event_id: last_event_id.clone(),
        })
    }

    /// Reads the data of a gap event; `None` if it is none, and then it is an event like any other.
    pub(crate) fn read(data: &str, last_event_id: &EventId) -> Option<Self> {
        let told: GapData = serde_json::from_str(data).ok()?;
        Some(Self {
            reason: match told.reason.as_str() {
                "unknown" => GapReason::Unknown,
                "epoch" => GapReason::Epoch,
                "trimmed" => GapReason::Trimmed,
                "regressed" => GapReason::Regressed,
                "lag" => GapReason::Lag,
                "damaged" => GapReason::Damaged,
                _ => GapReason::Other(told.reason),
            },
            asked: told.asked,
            floor: told.floor.map(Offset::into_text),
            head: told.head.map(Offset::into_text),
            lost: told.lost,
            last_event_id: last_event_id.clone(),
        })
    }
}
