//! [`ControlEvent`]: the events by which a server of Bellwether reports on the stream itself, and how a stream ended.
//! Pure.
//!
//! Their names begin with `bellwether.`, and applications send none of these. [`Gap`](crate::Gap) has a file of its own.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Kind};
use crate::transport::TransportError;

const PREFIX: &str = "bellwether.";

/// This many keep-alives may be missing or late before a stream counts as dead.
const KEEP_ALIVES: u32 = 3;

/// The minimum silence, even if a server promises a keep-alive each second: networks stall for longer.
const MIN_SILENCE: Duration = Duration::from_secs(10);

/// What such an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlEvent {
    /// The stream begins here: it has the id of this position, so that a cut before the first event loses nothing.
    Open,
    /// Nothing follows: the stream is whole.
    Finished,
    /// The application has failed: the stream is not whole.
    Failed,
    /// The server stops: the stream is not whole.
    Stopping,
    /// History is lost.
    Gap,
    /// Something that this version does not know.
    Other,
}

impl ControlEvent {
    /// What an event of this name says; `None` if it is one of the application's.
    #[inline]
    pub(crate) fn of(event: &str) -> Option<Self> {
        event.strip_prefix(PREFIX).map(|name| match name {
            "open" => Self::Open,
            "finished" => Self::Finished,
            "error" => Self::Failed,
            "stopping" => Self::Stopping,
            "gap" => Self::Gap,
            _ => Self::Other,
        })
    }
}

/// How a stream will have ended, as far as its events have told.
///
/// The transport does not decide it alone: a proxy may make a clean end of a cut, and a cut of a clean end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum StreamEnding {
    /// The transport knows best.
    #[default]
    Untold,
    Finished,
    /// With the data of the event.
    Failed(String),
    Stopping,
}

impl StreamEnding {
    /// Takes an event's word. The last one counts.
    pub(crate) fn observe(&mut self, control: ControlEvent, data: &str) {
        *self = match control {
            ControlEvent::Finished => Self::Finished,
            ControlEvent::Failed => Self::Failed(data.to_owned()),
            ControlEvent::Stopping => Self::Stopping,
            ControlEvent::Open | ControlEvent::Gap | ControlEvent::Other => return,
        };
    }

    /// The stream was whole, however its connection ended.
    pub(crate) fn is_finished(&self) -> bool {
        *self == Self::Finished
    }

    /// What is wrong with an end that the transport takes for a good one.
    pub(crate) fn clean(self) -> Result<(), Error> {
        match self {
            Self::Untold | Self::Finished => Ok(()),
            Self::Failed(data) => Err(Kind::ErrorEvent { data }.into()),
            Self::Stopping => {
                let cut = TransportError::cut("the server stopped before its end".into());
                Err(Kind::Transport(cut).into())
            }
        }
    }
}

/// How long a stream may be silent, by its opening event; never longer than the caller's own bound.
pub(crate) fn silence(data: &str, bound: Option<Duration>) -> Option<Duration> {
    #[derive(Deserialize)]
    struct OpenEvent {
        keep_alive_ms: Option<u64>,
    }

    let bound = bound?;
    let opening: Option<OpenEvent> = serde_json::from_str(data).ok();
    let Some(millis) = opening.and_then(|opening| opening.keep_alive_ms) else {
        return Some(bound);
    };
    let told = Duration::from_millis(millis).saturating_mul(KEEP_ALIVES);
    Some(told.max(MIN_SILENCE).min(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_keep_alives_may_be_missing_within_the_bounds() {
        let bound = Some(Duration::from_secs(300));
        for (data, seconds) in [
            (r#"{"keep_alive_ms":15000}"#, 45),
            (r#"{"keep_alive_ms":15000,"new":[1]}"#, 45),
            (r#"{"keep_alive_ms":1}"#, 10),
            (r#"{"keep_alive_ms":18446744073709551615}"#, 300),
            (r#"{"keep_alive_ms":null}"#, 300),
            (r#"{"keep_alive_ms":-1}"#, 300),
            ("{}", 300),
            ("", 300),
        ] {
            assert_eq!(
                silence(data, bound),
                Some(Duration::from_secs(seconds)),
                "{data}"
            );
        }
        assert_eq!(silence(r#"{"keep_alive_ms":15000}"#, None), None);
        let short = Duration::from_secs(5);
        assert_eq!(
            silence(r#"{"keep_alive_ms":15000}"#, Some(short)),
            Some(short)
        );
    }
}
