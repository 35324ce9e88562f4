//! JSON without the spaces that mean nothing, and otherwise as it was written. Pure.
//!
//! Numbers keep all their digits, keys their order, and a repeated key is kept: floats and
//! maps would lose all of that. Text has only those escapes that JSON needs, as in all events of Bellwether, so it is
//! the same text in fewer bytes.

/// Takes out the white space between the tokens of a valid JSON text.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(['"', ' ', '\t', '\n', '\r']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        if found.starts_with('"') {
            let (text, behind) = found.split_at(text_length(found));
            push_text(text, &mut out);
            rest = behind;
        } else {
            rest = found.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// How long the text is that begins here, quotes included.
fn text_length(json: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn push_text(text: &str, out: &mut String) {
    let decoded = text
        .contains('\\')
        .then(|| serde_json::from_str::<String>(text).ok())
        .flatten();
    // Half of a surrogate pair is no text, yet JSON can say it; then it stays as it was written.
    match decoded.and_then(|decoded| serde_json::to_string(&decoded).ok()) {
        Some(encoded) => out.push_str(&encoded),
        None => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_go_between_tokens_and_stay_in_text() {
        let json = " { \"a b\" :\t[ 1 ,\r\n true , null ] , \"c\\\" \" : \" d \" } ";
        assert_eq!(compact(json), "{\"a b\":[1,true,null],\"c\\\" \":\" d \"}");
    }

    #[test]
    fn numbers_and_the_order_of_keys_stay_as_written() {
        for json in [
            "123456789012345678901234567890",
            "-0",
            "1.0",
            "1E+400",
            "0.10000000000000000000000000001",
            "{\"b\":1,\"a\":2,\"b\":3}",
        ] {
            assert_eq!(compact(json), json);
        }
    }

    #[test]
    fn text_has_only_the_escapes_that_json_needs() {
        assert_eq!(compact(r#""caf\u00e9 \/ \ud83d\udc11""#), "\"café / 🐑\"");
        assert_eq!(compact(r#""a\u000a\\n\"\u0000""#), r#""a\n\\n\"\u0000""#);
        assert_eq!(compact(r#""\ud800 x""#), r#""\ud800 x""#);
    }
}
