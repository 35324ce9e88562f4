//! The time and the number in an event, which the server has put there. Pure.

use std::time::Duration;

use serde_json::{Map, Value};

/// What was found in one event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stamp<'a> {
    /// Since 1970.
    pub(super) sent: Option<Duration>,
    pub(super) number: Option<Number<'a>>,
}

/// A number that goes up by one from event to event.
#[derive(Debug, PartialEq)]
pub(super) struct Number<'a> {
    /// Numbers of different runs say nothing about each other.
    pub(super) run: &'a str,
    pub(super) number: u64,
    pub(super) source: NumberSource,
}

/// Where the number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberSource {
    /// `"i"` in the data.
    Data,
    /// The end of the event's id, or the offset in a cursor of Bellwether.
    Id,
}

/// Reads data and id of an event. `has_own_id` is false where the id is that of an earlier event.
pub(super) fn read<'a>(data: &str, id: &'a str, has_own_id: bool) -> Stamp<'a> {
    let fields: Map<String, Value> = match data.starts_with('{') {
        true => serde_json::from_str(data).unwrap_or_default(),
        false => Map::new(),
    };
    let sent = ["t", "sent"]
        .iter()
        .find_map(|key| fields.get(*key)?.as_f64());
    let own = fields
        .get("i")
        .and_then(Value::as_u64)
        .map(|number| Number {
            run: "",
            number,
            source: NumberSource::Data,
        });
    Stamp {
        sent: sent.and_then(since_1970),
        number: own.or_else(|| of_id(id).filter(|_| has_own_id)),
    }
}

/// The unit follows from the size: any time from 1973 to 5138 is recognized in seconds, milliseconds, microseconds and
/// nanoseconds.
fn since_1970(number: f64) -> Option<Duration> {
    let seconds = match number {
        1e8..1e11 => number,
        1e11..1e14 => number / 1e3,
        1e14..1e17 => number / 1e6,
        1e17..1e20 => number / 1e9,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

fn of_id(id: &str) -> Option<Number<'_>> {
    let (run, digits) = match id.strip_prefix("1.") {
        // `1.<epoch>.<offset>.<tag>`
        Some(cursor) if cursor.split('.').count() == 3 => {
            let (rest, _tag) = id.rsplit_once('.')?;
            rest.rsplit_once('.')?
        }
        _ => {
            let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
            id.split_at(id.len() - digits)
        }
    };
    Some(Number {
        run,
        number: digits.parse().ok()?,
        source: NumberSource::Id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_any_unit() {
        let expected = Some(Duration::from_secs(1_790_000_000));
        for data in [
            "{\"t\":1790000000}",
            "{\"sent\":1790000000000}",
            "{\"t\":1790000000000000,\"sent\":1}",
            "{\"t\":1790000000000000000}",
        ] {
            assert_eq!(read(data, "", false).sent, expected, "{data}");
        }
        for data in [
            "1790000000",
            "{\"t\":5}",
            "{\"t\":\"now\"}",
            "{",
            "",
            "{\"t\":-1e12}",
        ] {
            assert_eq!(read(data, "", false).sent, None, "{data}");
        }
    }

    #[test]
    fn a_number_stands_in_the_data_or_at_the_end_of_the_id() {
        let found = |data, id| {
            let number = read(data, id, true).number;
            number.map(
                |Number {
                     run,
                     number,
                     source,
                 }| (run.to_owned(), number, source),
            )
        };
        let of_id = |run: &str, number| Some((run.to_owned(), number, NumberSource::Id));
        assert_eq!(
            found("{\"i\":3}", "9"),
            Some((String::new(), 3, NumberSource::Data))
        );
        assert_eq!(found("x", "42"), of_id("", 42));
        assert_eq!(found("x", "node-a/0042"), of_id("node-a/", 42));
        assert_eq!(
            found("x", "1.0000000000B.17.00000a"),
            of_id("1.0000000000B", 17)
        );
        assert_eq!(found("x", "1.5"), of_id("1.", 5));
        assert_eq!(found("x", "abc"), None);
        assert_eq!(found("x", ""), None);
        assert_eq!(read("x", "42", false).number, None);
    }
}
