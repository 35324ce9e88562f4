//! Names as NATS takes them: topics and keys as text of one subject token, message ids.
//!
//! A token keeps ASCII letters, digits, `-` and `_`; every other byte becomes `%` and two digits, so that a topic of any
//! text is one token and can be read in NATS's own tools. A topic of 255 bytes becomes 765 bytes at most, which fits a
//! server's line of 4,096.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// The text as one token of a subject. Different texts give different tokens.
pub(crate) fn encode(text: &str) -> String {
    let mut token = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(byte.into());
        } else {
            token.push('%');
            token.push(DIGITS[usize::from(byte >> 4)].into());
            token.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
    token
}

/// The text of a token, `None` if no text has this one. Other characters than [`encode`] keeps are taken as they are.
pub(crate) fn decode(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The message id of a topic and an idempotency key: 22 characters, whatever their length. The server keeps it in memory
/// for its window.
pub(crate) fn message_id(topic: &str, key: &str) -> String {
    let mut hash = Context::new(&SHA256);
    // The length keeps topic and key apart.
    hash.update(&topic.len().to_be_bytes());
    hash.update(topic.as_bytes());
    hash.update(key.as_bytes());
    let digest = hash.finish();
    let (half, _) = digest.as_ref().split_at(16);
    BASE64_URL_SAFE_NO_PAD.encode(half)
}

/// 64 bits of a hash of a stream's name and creation time.
pub(crate) fn epoch_bits(stream: &str, created: &str) -> u64 {
    let mut hash = Context::new(&SHA256);
    hash.update(stream.as_bytes());
    hash.update(&[0]);
    hash.update(created.as_bytes());
    let digest = hash.finish();
    let first = digest.as_ref().first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_token_and_comes_back() {
        for text in [
            "news",
            "a.b.*>c d/ä'\"%",
            "%41",
            "\u{1}",
            " ",
            "\u{10ffff}",
            "..",
            "$SYS",
            "",
        ] {
            let token = encode(text);
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_%".contains(&byte)),
                "{token}"
            );
            assert_eq!(decode(&token).as_deref(), Some(text));
        }
        assert_eq!(encode("orders.eu"), "orders%2Eeu");
        assert_eq!(encode(&"ü".repeat(127)).len(), 762);
    }

    #[test]
    fn a_token_of_another_program_does_not_panic() {
        for token in ["%", "%4", "%zz", "%ff", "%+1", "\u{e4}%"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }

    #[test]
    fn message_ids_keep_topic_and_key_apart() {
        assert_eq!(message_id("t", "k").len(), 22);
        assert_ne!(message_id("ab", "c"), message_id("a", "bc"));
        assert_eq!(message_id("t", "k"), message_id("t", "k"));
    }
}
