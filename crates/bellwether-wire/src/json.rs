//! JSON data: serde_json, except that a float which is no number is an error.
//!
//! serde_json writes `null` for NaN and infinity, and the reader cannot tell that from a `null` that was meant. The
//! serializer here looks at every float on its way and leaves all else to serde_json. Map keys need no look, since
//! serde_json refuses such floats there itself.

use std::fmt;
use std::io;
use std::sync::Arc;

use memchr::memchr2;
use serde::ser::{self, Serialize, Serializer};

use crate::text::Text;

/// A value that cannot be written as JSON, with the reason.
///
/// It is a mistake in the value: a float that is NaN or infinite, a map whose keys are neither strings nor
/// numbers, or a `Serialize` that returns an error.
///
/// ```
/// use bellwether_wire::ServerSentEvent;
///
/// assert!(ServerSentEvent::try_json(1.5).is_ok());
/// assert!(ServerSentEvent::try_json(f64::INFINITY).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    // Text, as serde_json's error is neither `Clone` nor comparable.
    reason: Arc<str>,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write event data as JSON: {}", self.reason)
    }
}

impl std::error::Error for JsonError {}

/// What is known of JSON that has been written.
pub(crate) struct Written {
    /// serde_json's own output is one line, but a `RawValue` may be pretty-printed.
    pub(crate) has_line_break: bool,
}

/// Appends the value as compact JSON; after an error, `out` holds an unfinished part of it.
pub(crate) fn write<T: Serialize + ?Sized>(
    value: &T,
    out: impl io::Write,
) -> Result<Written, JsonError> {
    let mut written = Written {
        has_line_break: false,
    };
    let mut serializer = serde_json::Serializer::with_formatter(out, Compact(&mut written));
    match value.serialize(Finite(&mut serializer)) {
        Ok(()) => Ok(written),
        Err(error) => Err(JsonError {
            reason: error.to_string().into(),
        }),
    }
}

/// Compact JSON, which a `Formatter` writes by default; checks for line breaks where there can be some.
struct Compact<'a>(&'a mut Written);

impl serde_json::ser::Formatter for Compact<'_> {
    fn write_raw_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.has_line_break |= memchr2(b'\r', b'\n', fragment.as_bytes()).is_some();
        writer.write_all(fragment.as_bytes())
    }
}

/// JSON up to this length is written on the stack first, so that what stays has its exact size.
const SHORT_BYTES: usize = 128;

/// The value as compact JSON. If it is short, that is one allocation; if it is very short, none.
pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<Text, JsonError> {
    let mut out = Growing {
        short: [0; SHORT_BYTES],
        short_len: 0,
        long: Vec::new(),
    };
    write(value, &mut out)?;
    Ok(if out.long.is_empty() {
        Text::from_utf8_slice(out.short())
    } else {
        Text::from_utf8_vec(out.long)
    })
}

/// JSON that is being written: on the stack as long as it fits, then on the heap.
struct Growing {
    short: [u8; SHORT_BYTES],
    short_len: usize,
    /// Everything, once it holds anything.
    long: Vec<u8>,
}

impl io::Write for Growing {
    // serde_json writes many tiny pieces: a quotation mark, a key, a number.
    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        let end = self.short_len + piece.len();
        match self.short.get_mut(self.short_len..end) {
            Some(room) if self.long.is_empty() => {
                room.copy_from_slice(piece);
                self.short_len = end;
            }
            _ => self.push_long(piece),
        }
        Ok(())
    }

    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Growing {
    fn short(&self) -> &[u8] {
        self.short.get(..self.short_len).unwrap_or_default()
    }

    fn push_long(&mut self, piece: &[u8]) {
        if self.long.is_empty() {
            let mut long = Vec::with_capacity(2 * SHORT_BYTES);
            long.extend_from_slice(self.short());
            self.long = long;
        }
        self.long.extend_from_slice(piece);
    }
}

/// A serializer, or a part of one, that refuses floats which are no number.
struct Finite<S>(S);

/// A value that meets a `Finite` serializer when the inner one gets to it.
struct Value<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Value<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite(serializer))
    }
}

fn not_finite<E: ser::Error>(found: f64) -> E {
    E::custom(format_args!(
        "found the float {found}, and JSON has finite numbers only"
    ))
}

macro_rules! pass_on {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method(self, $($argument: $type),*) -> Result<S::Ok, S::Error> {
            self.0.$method($($argument),*)
        }
    )*};
}

impl<S: Serializer> Serializer for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<S::SerializeSeq>;
    type SerializeTuple = Finite<S::SerializeTuple>;
    type SerializeTupleStruct = Finite<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<S::SerializeTupleVariant>;
    type SerializeMap = Finite<S::SerializeMap>;
    type SerializeStruct = Finite<S::SerializeStruct>;
    type SerializeStructVariant = Finite<S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f32(value)
        } else {
            Err(not_finite(value.into()))
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f64(value)
        } else {
            Err(not_finite(value))
        }
    }

    pass_on! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Value(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Value(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0
            .serialize_newtype_variant(name, index, variant, &Value(value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Finite)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Finite)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Finite)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0
            .serialize_tuple_variant(name, index, variant, len)
            .map(Finite)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Finite)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Finite)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0
            .serialize_struct_variant(name, index, variant, len)
            .map(Finite)
    }
}

// The parts of compound values, which differ in little but their names.
macro_rules! elements {
    ($($trait:ident :: $method:ident;)*) => {$(
        impl<S: ser::$trait> ser::$trait for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$method(&Value(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! named_fields {
    ($($trait:ident)*) => {$(
        impl<S: ser::$trait> ser::$trait for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.serialize_field(key, &Value(value))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.0.skip_field(key)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

named_fields!(SerializeStruct SerializeStructVariant);

impl<S: ser::SerializeMap> ser::SerializeMap for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Value(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        self.0.serialize_entry(key, &Value(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
