//! The encoder against the vectors.

use std::time::Duration;

use bellwether_wire::{EventId, EventName, FieldError, ServerSentEvent, event_id, event_name};

use crate::vectors::{Fields, encode_vectors};

fn build(fields: &Fields) -> Result<ServerSentEvent, FieldError> {
    let mut event = match &fields.json {
        Some(value) => ServerSentEvent::json(value),
        None => ServerSentEvent::new(),
    };
    if let Some(data) = &fields.data {
        event = event.with_data(data);
    }
    if let Some(name) = &fields.event {
        event = event.event(EventName::new(name)?);
    }
    if let Some(id) = &fields.id {
        event = event.id(EventId::new(id)?);
    }
    if let Some(millis) = fields.retry_ms {
        event = event.retry(Duration::from_millis(millis));
    }
    if let Some(comment) = &fields.comment {
        event = event.comment(comment);
    }
    Ok(event)
}

#[test]
fn every_vector_encodes_to_its_bytes_or_is_refused() {
    for vector in encode_vectors() {
        let outcome = build(&vector.event)
            .map(|event| String::from_utf8(event.encode().unwrap().to_vec()).unwrap())
            .map_err(|error| error.to_string());
        let expected = match (vector.bytes, vector.refused) {
            (Some(bytes), None) => Ok(bytes),
            (None, Some(message)) => Err(message),
            other => panic!("{}: either bytes or refused, not {other:?}", vector.name),
        };
        assert_eq!(outcome, expected, "{} ({})", vector.name, vector.clause);
    }
}

#[test]
fn encoding_appends_to_the_buffer_and_gives_the_same_bytes() {
    let mut out = b"before".to_vec();
    let mut expected = out.clone();
    for event in encode_vectors()
        .iter()
        .filter_map(|vector| build(&vector.event).ok())
    {
        event.encode_into(&mut out).unwrap();
        expected.extend(event.encode().unwrap());
    }
    assert_eq!(out, expected);
}

#[test]
fn an_event_is_empty_exactly_if_it_encodes_to_no_bytes() {
    for event in encode_vectors()
        .iter()
        .filter_map(|vector| build(&vector.event).ok())
    {
        assert_eq!(
            event.is_empty(),
            event.encode().unwrap().is_empty(),
            "{event:?}"
        );
    }
}

#[test]
fn an_event_gives_back_what_it_was_given() {
    let event = ServerSentEvent::text("data\r\n")
        .event(event_name!("name"))
        .id(event_id!("id"))
        .retry(Duration::from_secs(1))
        .comment("comment");
    assert_eq!(event.data(), Some("data\r\n"));
    assert_eq!(event.event_name(), Some(&event_name!("name")));
    assert_eq!(event.event_id(), Some(&event_id!("id")));
    assert_eq!(event.retry_delay(), Some(Duration::from_secs(1)));
    assert_eq!(event.comment_text(), Some("comment"));
    assert_eq!(event.clone(), event);
    let nothing = ServerSentEvent::new();
    assert!(nothing.data().is_none() && nothing.event_name().is_none());
    assert!(nothing.event_id().is_none() && nothing.retry_delay().is_none());
    assert!(nothing.comment_text().is_none() && nothing.error().is_none());
}

#[test]
fn checked_literals_can_be_statics() {
    static NAME: EventName = event_name!("price");
    const ID: EventId = event_id!("");
    assert_eq!(NAME, "price");
    assert!(ID.is_empty());
}

#[test]
fn checked_text_passes_through_serde_and_is_checked_there() {
    let id: EventId = serde_json::from_str("\"42\"").unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"42\"");
    assert!(serde_json::from_str::<EventId>("\"4\\u00002\"").is_err());
    assert!(serde_json::from_str::<EventName>("\"a\\nb\"").is_err());
}

#[test]
fn a_name_or_an_id_may_be_text_which_is_checked_when_it_is_encoded() {
    let checked = ServerSentEvent::text("a")
        .event(event_name!("price"))
        .id(event_id!("7"));
    assert_eq!(ServerSentEvent::text("a").event("price").id("7"), checked);
    assert_eq!(
        ServerSentEvent::text("a")
            .event("price".to_owned())
            .id("7".to_owned()),
        checked
    );
    for event in [
        ServerSentEvent::text("a").event("pri\nce"),
        ServerSentEvent::text("a").event("pri\rce").event("later"),
        ServerSentEvent::text("a").id("7\n"),
        ServerSentEvent::text("a").id("\0"),
    ] {
        let error = event.encode().unwrap_err();
        assert!(error.field().is_some(), "{error}");
        assert_eq!(event.error(), Some(error));
    }
}
