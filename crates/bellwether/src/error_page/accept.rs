//! Chooses the format of an error page by the `Accept` header (RFC 9110, section 12.5.1).

use std::cmp::Reverse;

use http::HeaderValue;

/// The formats an error page comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Text,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// How closely a media range names this format: 3 exactly, 1 any type, 0 not at all.
    fn closeness(self, range: &str) -> u8 {
        let (exact, family) = match self {
            Self::Html => ("text/html", "text/*"),
            Self::Json => ("application/json", "application/*"),
            Self::Text => ("text/plain", "text/*"),
        };
        if range.eq_ignore_ascii_case(exact) {
            3
        } else if self == Self::Json && range.to_ascii_lowercase().ends_with("+json") {
            // Who asks for a dialect of JSON reads JSON.
            2
        } else if range.eq_ignore_ascii_case(family) {
            2
        } else {
            u8::from(range == "*/*")
        }
    }
}

/// The format that the client likes best; plain text if it names none of ours.
///
/// On equal quality the closer range wins, then the earlier one. A bare `*/*`, which is what
/// command-line clients send, gets plain text.
pub(super) fn preferred(accept: Option<&HeaderValue>) -> Format {
    let Some(accept) = accept.and_then(|value| value.to_str().ok()) else {
        return Format::Text;
    };
    // `max_by_key` keeps the last of equals, so plain text stands last.
    [Format::Json, Format::Html, Format::Text]
        .into_iter()
        .filter_map(|format| Some((rank(format, accept)?, format)))
        .max_by_key(|(rank, _)| *rank)
        .map_or(Format::Text, |(_, format)| format)
}

type Rank = (u16, u8, Reverse<usize>);

/// The rank of a format in this header: its closest range decides.
fn rank(format: Format, accept: &str) -> Option<Rank> {
    let closest = accept
        .split(',')
        .enumerate()
        .map(|(position, item)| {
            let mut parts = item.split(';').map(str::trim);
            let closeness = format.closeness(parts.next().unwrap_or_default());
            (
                closeness,
                Reverse(position),
                parts.find_map(quality).unwrap_or(1000),
            )
        })
        .filter(|(closeness, ..)| *closeness > 0)
        .max_by_key(|(closeness, position, _)| (*closeness, *position));
    let (closeness, position, quality) = closest?;
    (quality > 0).then_some((quality, closeness, position))
}

/// The value of a `q` parameter in thousandths; a value that is no number counts as 0.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    // A float cast saturates, and a NaN becomes 0.
    Some((value.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_format_it_reads() {
        for (accept, format) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Html,
            ),
            ("application/json, text/plain, */*", Format::Json),
            ("text/plain, application/json", Format::Text),
            ("application/json", Format::Json),
            ("Application/JSON; charset=utf-8", Format::Json),
            ("application/problem+json", Format::Json),
            ("application/*", Format::Json),
            ("*/*", Format::Text),
            ("text/*", Format::Text),
            ("text/event-stream", Format::Text),
            ("text/html;q=0.1, application/json;q=0.2", Format::Json),
            ("text/html;q=0, */*", Format::Text),
            ("text/html;q=0", Format::Text),
            ("text/html;q=NaN, application/json;q=0.001", Format::Json),
            ("text/html;q=x", Format::Text),
            (",;,;q=,=", Format::Text),
            ("", Format::Text),
        ] {
            let value = HeaderValue::from_static(accept);
            assert_eq!(preferred(Some(&value)), format, "{accept}");
        }
        assert_eq!(preferred(None), Format::Text);
        let opaque = HeaderValue::from_bytes(b"text/html\xff").ok();
        assert_eq!(preferred(opaque.as_ref()), Format::Text);
    }
}
