//! The decoder against the vectors, in every cutting.

use bellwether_wire::{DecodeError, Decoder, EventId, Limits};

use crate::standard::EventSource;
use crate::vectors::{DecodeVector, Event, decode_vectors};

/// Feeds one connection in pieces, collects the events, and returns the error that ended it.
pub(crate) fn feed<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    events: &mut Vec<Event>,
) -> Option<DecodeError> {
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => events.push(Event {
                    event: message.event.to_string(),
                    data: message.data,
                    last_event_id: message.last_event_id.to_string(),
                }),
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
        assert!(piece.is_empty(), "bytes were left behind without an event");
    }
    None
}

/// Feeds all connections, each cut by the function, and returns everything that is left to see.
fn outcome<'a>(
    limits: Limits,
    connections: &'a [Vec<u8>],
    cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
) -> (EventSource, Vec<Option<DecodeError>>) {
    let mut decoder = Decoder::with_limits(limits);
    let mut events = Vec::new();
    let mut errors = Vec::new();
    for (index, bytes) in connections.iter().enumerate() {
        if index > 0 {
            decoder.reconnect();
        }
        let error = feed(&mut decoder, cut(bytes), &mut events);
        if let Some(error) = error {
            assert_eq!(
                decoder.decode(&mut &b"data:more\n\n"[..]),
                Err(error),
                "an error stays"
            );
        }
        errors.push(error);
    }
    let source = EventSource {
        events,
        last_event_id: decoder.last_event_id().to_owned(),
        retry_ms: decoder
            .reconnection_time()
            .map(|time| time.as_millis().try_into().unwrap()),
        comments: decoder.comment_count(),
    };
    (source, errors)
}

fn limits_of(vector: &DecodeVector) -> Limits {
    vector.limits.map_or_else(Limits::default, |limits| {
        Limits::default()
            .max_line_bytes(limits.max_line_bytes)
            .max_event_bytes(limits.max_event_bytes)
    })
}

#[test]
fn every_vector_decodes_as_its_clause_says() {
    for vector in decode_vectors() {
        let DecodeVector { name, clause, .. } = &vector;
        let connections = vector.connections();
        let (seen, errors) = outcome(limits_of(&vector), &connections, |bytes| vec![bytes]);
        assert_eq!(seen.events, vector.events, "{name} ({clause})");
        assert_eq!(
            seen.last_event_id, vector.last_event_id,
            "{name} ({clause})"
        );
        assert_eq!(seen.retry_ms, vector.retry_ms, "{name} ({clause})");
        if let Some(comments) = vector.comments {
            assert_eq!(seen.comments, comments, "{name} ({clause})");
        }
        let kind = |error: &Option<DecodeError>| {
            error.map(
                |error| match (error.is_line_too_long(), error.is_event_too_large()) {
                    (true, false) => "line".to_owned(),
                    (false, true) => "event".to_owned(),
                    other => panic!("an error of no kind or of two: {other:?}"),
                },
            )
        };
        let kinds: Vec<_> = errors.iter().map(kind).collect();
        if vector.errors.is_empty() {
            assert!(
                kinds.iter().all(Option::is_none),
                "{name} ({clause}): {kinds:?}"
            );
        } else {
            assert_eq!(kinds, vector.errors, "{name} ({clause})");
        }
    }
}

#[test]
fn every_vector_decodes_the_same_byte_by_byte_and_cut_anywhere() {
    for vector in decode_vectors() {
        let connections = vector.connections();
        let limits = limits_of(&vector);
        let whole = outcome(limits, &connections, |bytes| vec![bytes]);
        let bytewise = outcome(limits, &connections, |bytes| bytes.chunks(1).collect());
        assert_eq!(bytewise, whole, "{} byte by byte", vector.name);
        let longest = connections.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..=longest {
            let cut = outcome(limits, &connections, |bytes| {
                let (before, after) = bytes.split_at(at.min(bytes.len()));
                vec![before, after]
            });
            assert_eq!(cut, whole, "{} cut at {at}", vector.name);
        }
    }
}

#[test]
fn the_transcription_of_the_standard_agrees_with_every_vector() {
    for vector in decode_vectors()
        .into_iter()
        .filter(|vector| vector.limits.is_none())
    {
        let mut source = EventSource::default();
        for bytes in vector.connections() {
            source.read(&bytes);
        }
        assert_eq!(source.events, vector.events, "{}", vector.name);
        assert_eq!(
            source.last_event_id, vector.last_event_id,
            "{}",
            vector.name
        );
        assert_eq!(source.retry_ms, vector.retry_ms, "{}", vector.name);
    }
}

#[test]
fn an_error_says_what_is_allowed() {
    let mut decoder = Decoder::with_limits(Limits::default().max_event_bytes(3));
    let error = decoder.decode(&mut &b"data: 1234\n"[..]).unwrap_err();
    assert_eq!(error.allowed_bytes(), 3);
    assert_eq!(
        error.to_string(),
        "cannot decode the event stream: found an event of more than 3 bytes"
    );
}

#[test]
fn a_decoder_can_start_where_an_earlier_one_stopped() {
    let mut decoder = Decoder::new().resume_after(EventId::from(41));
    let message = decoder.decode(&mut &b"data: a\n\n"[..]).unwrap().unwrap();
    assert_eq!(message.last_event_id, "41");
}
