//! What people see in a terminal: events, spans of time, numbers. Pure.
//!
//! Text from a server may hold escape sequences that move the cursor, rename the window or hide lines. All control
//! characters are made visible here, so that only our own colours reach the terminal.

use std::fmt::Write;
use std::time::Duration;

use owo_colors::OwoColorize;

use crate::line::EventLine;

/// An event as one line, its further lines of data indented below.
pub(crate) fn event(line: &EventLine<'_>) -> String {
    let mut out = String::new();
    if let Some(time) = line.time {
        push(&mut out, format_args!("{} ", time.dimmed()));
    }
    let name = plain(line.event);
    push(&mut out, format_args!("{}", name.cyan().bold()));
    if !line.id.is_empty() {
        let id = plain(line.id);
        push(
            &mut out,
            format_args!(" {}", format_args!("#{id}").dimmed()),
        );
    }
    for (number, text) in line.data.split('\n').enumerate() {
        let gap = if number == 0 { "  " } else { "\n    " };
        push(&mut out, format_args!("{gap}{}", plain(text)));
    }
    out.push('\n');
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = out.write_fmt(text);
}

/// The text with its control characters made visible; tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        // The marks for right-to-left text can show one thing for another.
        let is_mark = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (character.is_control() && character != '\t') || is_mark {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// `350 ms`, `1.5 s`, `2 min 5 s`.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_millis();
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", span.as_secs_f64()),
        _ => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
    }
}

/// A number with a space between each three digits.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A latency of microseconds: `850 µs`, `12.3 ms`, `1.50 s`.
pub(crate) fn micros(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let float = micros as f64;
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.1} ms", float / 1e3),
        _ => format!("{:.2} s", float / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn an_event_is_one_line_and_further_lines_of_data_stand_below() {
        let mut line = EventLine {
            event: "price",
            data: "1.08\n1.09",
            id: "7",
            time: Some("11:37:00.123"),
        };
        assert_eq!(
            seen(&event(&line)),
            "11:37:00.123 price #7  1.08\n    1.09\n"
        );
        line.id = "";
        line.time = None;
        line.data = "";
        assert_eq!(seen(&event(&line)), "price  \n");
    }

    #[test]
    fn what_a_server_sends_cannot_steer_the_terminal() {
        let line = EventLine {
            event: "a\u{1b}[2J",
            data: "b\u{9b}31m\u{7}\r\tc\u{202e}",
            id: "\u{1b}]0;x",
            time: None,
        };
        let shown = seen(&event(&line));
        assert_eq!(
            shown,
            "a\\u{1b}[2J #\\u{1b}]0;x  b\\u{9b}31m\\u{7}\\r\tc\\u{202e}\n"
        );
    }

    #[test]
    fn spans_and_numbers_are_short() {
        assert_eq!(span(Duration::from_millis(350)), "350 ms");
        assert_eq!(span(Duration::from_millis(1549)), "1.5 s");
        assert_eq!(span(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(micros(850), "850 µs");
        assert_eq!(micros(12_345), "12.3 ms");
        assert_eq!(micros(1_500_000), "1.50 s");
    }
}
