//! Properties over hostile input: any cutting gives the same, the standard's transcription agrees, nothing panics,
//! and what is encoded is decoded.

use std::time::Duration;

use bellwether_wire::{Decoder, EventId, EventName, Limits, ServerSentEvent};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::decoding::feed;
use crate::standard::EventSource;
use crate::vectors::Event;

/// Pieces of streams, most of them dangerous; random bytes alone would hardly ever make a field.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: &[&[u8]] = &[
        b"data",
        b"event",
        b"id",
        b"retry",
        b"data:",
        b"data: x",
        b"id: 1",
        b"event:e",
        b"retry:5",
        b":",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\r\n\r\n",
        b"\0",
        b"9",
        b"a",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        b"\xbf",
        b"\xe2\x82",
        b"\xac",
        b"\xf0\x9f\x98",
        b"\x80",
        b"\xff",
        b"\xc0",
        b"\xed\xa0\x80",
        "\u{2028}".as_bytes(),
        "\u{85}".as_bytes(),
        b"\x0b",
    ];
    let token = prop_oneof![
        9 => select(TOKENS).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// Events of many kilobytes, whose data is checked while it comes, with bytes in it that are no text.
fn long_stream() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[
        b"x",
        b"\ndata: ",
        "\u{e9}".as_bytes(),
        "a\u{20ac}".as_bytes(),
        "\u{1f600}".as_bytes(),
    ];
    const SELDOM: &[&[u8]] = &[
        b"",
        b"\xff",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\x80",
        b"\n\ndata:",
    ];
    let part = (select(PARTS), 0_usize..3000, select(SELDOM))
        .prop_map(|(part, times, seldom)| [&part.repeat(times), seldom].concat());
    vec(part, 1..6)
        .prop_map(|parts| [b"data: ".to_vec(), parts.concat(), b"\n\n".to_vec()].concat())
}

fn hostile_text() -> impl Strategy<Value = String> {
    let characters = select(
        "\r\n\0\u{feff}\u{2028}\u{2029}\u{85}\u{b}\u{c}\u{d7ff}\u{e000}\u{fffd}\u{10ffff} \t:adei19é€😀"
            .chars()
            .collect::<Vec<_>>(),
    );
    let text = vec(characters, 0..12).prop_map(String::from_iter);
    prop_oneof![6 => text.clone(), 1 => text.prop_map(|text| text.repeat(9)), 1 => any::<String>()]
}

prop_compose! {
    fn event()(
        data in proptest::option::of(hostile_text()),
        name in proptest::option::of(hostile_text()),
        id in proptest::option::of(hostile_text()),
        retry in proptest::option::of(any::<u64>()),
        comment in proptest::option::of(hostile_text()),
    ) -> ServerSentEvent {
        let mut event = ServerSentEvent::new();
        if let Some(data) = data {
            event = event.with_data(data);
        }
        if let Some(name) = name {
            event = event.event(EventName::new(name.replace(['\r', '\n'], "")).unwrap());
        }
        if let Some(id) = id {
            event = event.id(EventId::new(id.replace(['\r', '\n', '\0'], "")).unwrap());
        }
        if let Some(millis) = retry {
            event = event.retry(Duration::from_millis(millis));
        }
        if let Some(comment) = comment {
            event = event.comment(comment);
        }
        event
    }
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> EventSource {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    assert_eq!(feed(&mut decoder, pieces, &mut events), None);
    EventSource {
        events,
        last_event_id: decoder.last_event_id().to_owned(),
        retry_ms: decoder
            .reconnection_time()
            .map(|time| time.as_millis().try_into().unwrap()),
        comments: decoder.comment_count(),
    }
}

/// Cuts the bytes into pieces of these sizes, over and over; empty pieces among them.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(0_usize..20, 0..10).prop_map(|mut sizes| {
        sizes.push(1);
        sizes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_decodes_as_the_standard_says(bytes in stream(), sizes in sizes()) {
        let mut expected = EventSource::default();
        expected.read(&bytes);
        prop_assert_eq!(&decode([bytes.as_slice()]), &expected);
        prop_assert_eq!(&decode(cut(&bytes, &sizes)), &expected);
        prop_assert_eq!(&decode(bytes.chunks(1)), &expected);
    }

    #[test]
    fn what_is_lent_is_what_is_given(bytes in stream(), sizes in sizes()) {
        let mut decoder = Decoder::new();
        let mut lent = Vec::new();
        for mut piece in cut(&bytes, &sizes) {
            while let Some(message) = decoder.decode_ref(&mut piece).unwrap() {
                lent.push(Event {
                    event: message.event.to_string(),
                    data: message.data.into_owned(),
                    last_event_id: message.last_event_id.to_string(),
                });
            }
        }
        prop_assert_eq!(lent, decode([bytes.as_slice()]).events);
    }

    #[test]
    fn several_connections_decode_as_the_standard_says(connections in vec(stream(), 1..4)) {
        let mut expected = EventSource::default();
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        for bytes in &connections {
            expected.read(bytes);
            prop_assert_eq!(feed(&mut decoder, [bytes.as_slice()], &mut events), None);
            decoder.reconnect();
        }
        prop_assert_eq!(events, expected.events);
        prop_assert_eq!(decoder.last_event_id(), expected.last_event_id);
    }

    #[test]
    fn limits_hold_the_same_in_any_cutting(
        bytes in stream(),
        sizes in sizes(),
        line in 0_usize..20,
        event in 0_usize..20,
    ) {
        let run = |pieces: Vec<&[u8]>| {
            let limits = Limits::default().max_line_bytes(line).max_event_bytes(event);
            let mut decoder = Decoder::with_limits(limits);
            let mut events = Vec::new();
            let error = feed(&mut decoder, pieces, &mut events);
            (events, error, decoder.last_event_id().to_owned())
        };
        let whole = run(vec![&bytes]);
        for event_seen in &whole.0 {
            let name = if event_seen.event == "message" { 0 } else { event_seen.event.len() };
            // A replaced byte is one byte of the stream and three of text.
            let replaced = 2 * event_seen.data.matches('\u{fffd}').count();
            prop_assert!(event_seen.data.len() + name <= event + replaced + 2 * name);
        }
        prop_assert_eq!(&run(cut(&bytes, &sizes)), &whole);
        prop_assert_eq!(&run(bytes.chunks(1).collect()), &whole);
    }

    #[test]
    fn what_is_encoded_is_decoded(events in vec(event(), 0..5)) {
        let mut bytes = Vec::new();
        let mut expected = EventSource::default();
        for event in &events {
            event.encode_into(&mut bytes).unwrap();
            if let Some(id) = event.event_id() {
                expected.last_event_id = id.to_string();
            }
            if let Some(delay) = event.retry_delay() {
                expected.retry_ms = Some(delay.as_millis().try_into().unwrap());
            }
            if let Some(comment) = event.comment_text() {
                expected.comments += 1 + breaks_as_lf(comment).matches('\n').count() as u64;
            }
            if let Some(data) = event.data() {
                let name = event.event_name().map_or("", |name| name.as_str());
                expected.events.push(Event {
                    event: if name.is_empty() { "message" } else { name }.to_owned(),
                    data: breaks_as_lf(data),
                    last_event_id: expected.last_event_id.clone(),
                });
            }
        }
        prop_assert_eq!(decode([bytes.as_slice()]), expected);
    }
}

proptest! {
    // Few cases, as each is long.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_data_decodes_as_the_standard_says_however_it_is_cut(
        bytes in long_stream(),
        sizes in vec(1_usize..9000, 1..5),
    ) {
        let mut expected = EventSource::default();
        expected.read(&bytes);
        prop_assert!(decode([bytes.as_slice()]) == expected);
        prop_assert!(decode(cut(&bytes, &sizes)) == expected);
        prop_assert!(decode(bytes.chunks(100)) == expected);
    }
}

fn breaks_as_lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
