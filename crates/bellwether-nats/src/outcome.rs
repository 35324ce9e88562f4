//! The outcomes of records that were sent, and from which one on a list may be sent again. Pure.
//!
//! Every record has a message id, so that sending one again never stores it twice. Sending again must not change the
//! order either: a record without a response may still be under way behind a later one. So only the end of a list is
//! sent again, from the last record without a response, and only if all before it have one.

use async_nats::{Message, PublishErrorKind, StatusCode};
use bellwether_topics::broker::BrokerError;

use crate::api::{self, ApiError, Fault, PublishAck};

/// What is known of a record that was sent.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// No response: the record may be stored, now or later.
    Unknown,
    /// Not stored, but it may be if it is sent again.
    Failed(BrokerError),
    /// Not stored, and it never will be.
    Refused(BrokerError),
    /// Stored, by this append or by one before.
    Stored(PublishAck),
}

impl Outcome {
    /// The outcome in a response to a record that was sent to this stream.
    pub(crate) fn of_answer(answer: &Message, stream: &str) -> Self {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::Failed(ApiError::NoResponders.into());
        }
        match api::parse::<PublishAck>(&answer.payload) {
            Ok(ack) if ack.stream == stream => Self::Stored(ack),
            Ok(ack) => Self::Refused(BrokerError::refused(format!(
                "stream {:?} took the record: its subjects overlap with those of {:?}",
                ack.stream, stream
            ))),
            Err(error) if error.is_fault(Fault::MESSAGE_TOO_LARGE) => {
                Self::Refused(BrokerError::refused(error.to_string()))
            }
            Err(error) => Self::Failed(error.into()),
        }
    }

    /// The outcome of a record that the client did not send because of this error.
    pub(crate) fn of_unsent(kind: PublishErrorKind, max_payload: usize) -> Self {
        match kind {
            PublishErrorKind::Send => Self::Failed(ApiError::NotConnected.into()),
            PublishErrorKind::MaxPayloadExceeded => Self::Refused(too_large(max_payload)),
            PublishErrorKind::InvalidSubject => Self::Refused(BrokerError::refused(
                "the topic cannot be a subject of NATS",
            )),
        }
    }

    /// Whether sending the record again would change nothing.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Stored(_) | Self::Refused(_))
    }
}

/// The index from which a list may be sent again, by its outcomes; its length if nothing may.
pub(crate) fn repeat_from(outcomes: &[Outcome]) -> usize {
    let mut start = outcomes.len();
    for (index, outcome) in outcomes.iter().enumerate().rev() {
        match outcome {
            Outcome::Failed(_) => start = index,
            // It has its response, and need not be sent.
            Outcome::Refused(_) => {}
            // Sent again it is stored at most once, and all records after it have responses.
            Outcome::Unknown => {
                start = index;
                break;
            }
            Outcome::Stored(_) => break,
        }
    }
    let before = outcomes.get(..start).unwrap_or_default();
    match before.iter().any(|o| matches!(o, Outcome::Unknown)) {
        true => outcomes.len(),
        false => start,
    }
}

fn too_large(max_payload: usize) -> BrokerError {
    BrokerError::refused(format!(
        "the event is larger than the NATS server takes: max_payload is {max_payload} bytes, headers included"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(letters: &str) -> Vec<Outcome> {
        let outcome = |letter| match letter {
            'u' => Outcome::Unknown,
            'f' => Outcome::Failed(BrokerError::unavailable("")),
            'r' => Outcome::Refused(BrokerError::refused("")),
            _ => Outcome::Stored(PublishAck {
                stream: String::new(),
                seq: 1,
                duplicate: false,
            }),
        };
        letters.chars().map(outcome).collect()
    }

    #[test]
    fn only_what_cannot_overtake_is_sent_again() {
        for (known, from) in [
            ("", 0),
            ("s", 1),
            ("u", 0),
            ("f", 0),
            ("r", 1),
            // The last records have responses, and none of them is stored.
            ("ssff", 2),
            ("ssfrf", 2),
            ("ssuf", 2),
            ("su", 1),
            // A record may still be under way before or behind.
            ("uu", 2),
            ("usf", 3),
            ("uf", 0),
            ("fu", 1),
            ("us", 2),
            ("fs", 2),
            ("ufuf", 4),
        ] {
            assert_eq!(repeat_from(&outcomes(known)), from, "{known}");
        }
    }
}
