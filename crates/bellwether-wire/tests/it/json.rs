//! JSON data: what is refused, and that both ways to encode it agree.

use std::collections::BTreeMap;

use bellwether_wire::{ServerSentEvent, encode_json_into};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::json;
use serde_json::value::RawValue;

#[derive(serde::Serialize)]
struct Reading {
    value: f64,
}

#[derive(serde::Serialize)]
struct Wrapper(f32);

#[derive(serde::Serialize)]
struct Pair(u8, f64);

#[derive(serde::Serialize)]
struct Flat {
    #[serde(flatten)]
    reading: Reading,
}

#[derive(serde::Serialize)]
enum Shape {
    Newtype(f64),
    Tuple(u8, f64),
    Struct { value: f64 },
}

#[derive(serde::Serialize)]
#[serde(tag = "kind")]
enum Tagged {
    Reading { value: f64 },
}

/// A map written key by key and value by value, as hand-written code may do.
struct Entries(f64);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_key("value")?;
        map.serialize_value(&self.0)?;
        map.end()
    }
}

struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("the database is gone"))
    }
}

/// Checks that the value is refused everywhere, and returns the message.
fn refusal<T: Serialize>(value: T) -> String {
    let event = ServerSentEvent::json(&value).id(1);
    let error = event.error().expect("the event carries the error");
    assert_eq!(event.data(), None);
    assert!(!event.is_empty());
    let mut out = b"before".to_vec();
    let encoded = event.encode_into(&mut out).unwrap_err();
    assert_eq!(encoded, error);
    assert_eq!(event.encode().unwrap_err(), encoded);
    assert_eq!(encode_json_into(&value, &mut out).unwrap_err(), encoded);
    assert_eq!(out, b"before");
    let message = error.to_string();
    assert_eq!(encoded.to_string(), message);
    assert_eq!(
        Some(&ServerSentEvent::try_json(value).unwrap_err()),
        error.json()
    );
    message
}

#[test]
fn a_float_that_is_no_number_is_refused_wherever_it_hides() {
    let message = refusal(f64::NAN);
    assert_eq!(
        message,
        "cannot write event data as JSON: found the float NaN, and JSON has finite numbers only"
    );
    assert!(refusal(f32::INFINITY).contains("inf"));
    assert!(refusal(f64::NEG_INFINITY).contains("-inf"));
    let nan = f64::NAN;
    refusal(Some(nan));
    refusal([1.0, nan]);
    refusal(vec![vec![nan]]);
    refusal((1, nan));
    refusal(Reading { value: nan });
    refusal(Flat {
        reading: Reading { value: nan },
    });
    refusal(Wrapper(f32::NAN));
    refusal(Pair(1, nan));
    refusal(Shape::Newtype(nan));
    refusal(Shape::Tuple(1, nan));
    refusal(Shape::Struct { value: nan });
    refusal(Tagged::Reading { value: nan });
    refusal(BTreeMap::from([("value", nan)]));
    refusal(Entries(nan));
}

#[test]
fn other_values_that_are_no_json_are_refused() {
    assert!(refusal(Failing).ends_with(": the database is gone"));
    assert!(refusal(vec![Failing]).ends_with(": the database is gone"));
    refusal(BTreeMap::from([((1, 2), "a tuple as a key")]));
}

#[test]
fn a_float_given_to_the_json_macro_is_null_before_it_gets_here() {
    assert_eq!(ServerSentEvent::json(json!(f64::NAN)).data(), Some("null"));
}

/// Checks that both ways write the same, and returns it.
fn encoded<T: Serialize>(value: T) -> String {
    let mut in_place = Vec::new();
    encode_json_into(&value, &mut in_place).unwrap();
    let event = ServerSentEvent::json(value);
    assert_eq!(event.encode().unwrap(), in_place);
    String::from_utf8(in_place).unwrap()
}

#[test]
fn all_shapes_of_values_are_written_as_serde_json_writes_them() {
    #[track_caller]
    fn check<T: Serialize>(value: T) {
        let expected = format!("data: {}\n\n", serde_json::to_string(&value).unwrap());
        assert_eq!(encoded(value), expected);
    }
    check(json!({"a": [1, -1, 1.5, true, null, "é\n\u{0}"], "b": {}}));
    check((1_u8, 2_i8, 3_u16, 4_i16, 5_u32, 6_i32, 7_u64, 8_i64));
    check((u128::MAX, i128::MIN, 1.5_f32, 'c', "s", (), false));
    check((
        Some(1),
        None::<u8>,
        Wrapper(0.5),
        Pair(1, 2.0),
        Reading { value: -0.0 },
    ));
    check([
        Shape::Newtype(1.0),
        Shape::Tuple(1, 2.0),
        Shape::Struct { value: 3.0 },
    ]);
    check(Flat {
        reading: Reading { value: 1.0 },
    });
    check(Tagged::Reading { value: 1.0 });
    check(Entries(1.0));
    check(BTreeMap::from([(1, "an integer as a key")]));
    check(serde_json::Number::from_f64(1e300));
    check(std::net::Ipv4Addr::LOCALHOST);
    for length in [30, 31, 32, 33, 100, 125, 126, 127, 128, 1000, 5000] {
        check("x".repeat(length));
        check(vec![1_u8; length]);
    }
}

#[test]
fn line_breaks_of_raw_json_become_data_lines() {
    let raw = RawValue::from_string("{\n\"a\":\r\n1}".to_owned()).unwrap();
    assert_eq!(encoded(&raw), "data: {\ndata: \"a\":\ndata: 1}\n\n");
    assert_eq!(encoded([&raw]), "data: [{\ndata: \"a\":\ndata: 1}]\n\n");
    let raw = RawValue::from_string("[1,\r2]".to_owned()).unwrap();
    assert_eq!(encoded(&raw), "data: [1,\ndata: 2]\n\n");
}

#[test]
fn a_panic_within_serialize_leaves_the_buffer_as_it_was() {
    struct Panicking;
    impl Serialize for Panicking {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("a bug in the application")
        }
    }
    let mut out = b"before".to_vec();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        encode_json_into(&("some", Panicking), &mut out)
    }));
    assert!(panicked.is_err());
    assert_eq!(out, b"before");
}
