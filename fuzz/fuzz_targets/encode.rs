//! Any texts in any fields: the encoder never panics, and what a client reads is what was meant.
//!
//! `cargo +nightly fuzz run encode`

#![no_main]

use std::time::Duration;

use bellwether_wire::{Decoder, EventId, EventName, ServerSentEvent, encode_json_into};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    data: Option<&'a str>,
    name: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<u64>,
    comment: Option<&'a str>,
    number: f64,
}

fuzz_target!(|input: Input<'_>| {
    let mut event = ServerSentEvent::new();
    if let Some(data) = input.data {
        event = event.with_data(data);
    }
    if let Some(name) = input.name.and_then(|name| EventName::new(name).ok()) {
        event = event.event(name);
    }
    if let Some(id) = input.id.and_then(|id| EventId::new(id).ok()) {
        event = event.id(id);
    }
    if let Some(millis) = input.retry {
        event = event.retry(Duration::from_millis(millis));
    }
    if let Some(comment) = input.comment {
        event = event.comment(comment);
    }

    let mut bytes = Vec::new();
    event.encode_into(&mut bytes).expect("only JSON can fail");
    assert_eq!(bytes, event.encode().expect("only JSON can fail"));
    assert!(!bytes.contains(&b'\r'));
    // An event right behind it: nothing of the first may leak into it.
    bytes.extend(b"data: after\n\n");

    let mut decoder = Decoder::new();
    let mut rest = bytes.as_slice();
    if let Some(data) = event.data() {
        let message = decoder
            .decode(&mut rest)
            .expect("within limits")
            .expect("data is an event");
        assert_eq!(message.data, data.replace("\r\n", "\n").replace('\r', "\n"));
        let name = event.event_name().map_or("", EventName::as_str);
        assert_eq!(
            message.event,
            if name.is_empty() { "message" } else { name }
        );
    }
    let message = decoder
        .decode(&mut rest)
        .expect("within limits")
        .expect("the event behind it");
    assert_eq!(
        (message.event.as_str(), message.data.as_str()),
        ("message", "after")
    );
    assert_eq!(
        message.last_event_id.as_str(),
        event.event_id().map_or("", EventId::as_str)
    );
    assert_eq!(decoder.reconnection_time(), event.retry_delay());
    assert_eq!(decoder.decode(&mut rest), Ok(None));

    let value = (input.data, input.name, input.number);
    let mut in_place = Vec::new();
    let outcome = encode_json_into(&value, &mut in_place);
    assert_eq!(outcome.is_ok(), input.number.is_finite());
    match ServerSentEvent::json(value).encode() {
        Ok(bytes) => assert_eq!(bytes, in_place),
        Err(error) => assert_eq!(Err(error), outcome),
    }
});
