//! [`Address`]: the parser of URLs, for sources, redirects and commands. Pure.
//!
//! At least as strict as curl. The parser of `http` ignores an invalid port, so a typing error would send a
//! request, and the token in it, to port 80.

use std::net::Ipv6Addr;
use std::str::FromStr;

use http::{HeaderValue, Uri};

use crate::error::{Error, Kind};

/// An absolute URL with `http` or `https`, checked, and the user that it names.
///
/// A user and a password (`https://me:secret@example.com/`) do not stay in the URL, where logs and the field `Host`
/// would show them: they are the value of a field `Authorization: Basic` (RFC 7617), percent-decoded.
///
/// The host is an IPv6 address in brackets, or letters, digits, `-`, `.` and `_`; the port is absent or a number from
/// 1 to 65535.
///
/// ```
/// use bellwether_client::Address;
///
/// let address: Address = "https://me:secret@Example.com:8443?x=1".parse()?;
/// assert_eq!(address.url(), "https://example.com:8443/?x=1");
/// assert_eq!(address.authorization().unwrap(), "Basic bWU6c2VjcmV0");
/// assert!("http://127.0.0.1:80800/".parse::<Address>().unwrap_err().is_invalid());
/// # Ok::<(), bellwether_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Uri,
    authorization: Option<HeaderValue>,
}

impl Address {
    /// The URL, without user, password and fragment, as it may be logged.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Value for a header `Authorization`, if the text names a user. It is marked as sensitive, so that
    /// `Debug` does not show it.
    ///
    /// ```
    /// use bellwether_client::Address;
    ///
    /// let address: Address = "https://example.com/events".parse()?;
    /// assert!(address.authorization().is_none());
    /// # Ok::<(), bellwether_client::Error>(())
    /// ```
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    pub(crate) fn into_parts(self) -> (Uri, Option<HeaderValue>) {
        (self.url, self.authorization)
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads the text of a URL.
    ///
    /// # Errors
    ///
    /// It is no such URL: [`Error::is_invalid`]. The message shows the text without user and password.
    fn from_str(text: &str) -> Result<Self, Error> {
        read(text).map_err(|wanted| {
            let found = without_user(text);
            Kind::Url { found, wanted }.into()
        })
    }
}

fn read(text: &str) -> Result<Address, &'static str> {
    const WANTED: &str = "an absolute URL with http or https";
    let (scheme, rest) = text.split_once("://").ok_or(WANTED)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(WANTED);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A password may hold an `@`, a host cannot.
    let (user, host_and_port) = match authority.rsplit_once('@') {
        Some((user, host_and_port)) => (Some(user), host_and_port),
        None => (None, authority),
    };
    let (host, port) = split_port(host_and_port)?;
    if !is_host(host) {
        return Err("a URL with the name or address of a host");
    }
    let port = match port {
        Some(port) => format!(":{}", read_port(port)?),
        None => String::new(),
    };
    let host = host.to_ascii_lowercase();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{host}{port}{slash}{path}").parse();
    let authorization = match user {
        Some(user) => Some(basic(user)?),
        None => None,
    };
    Ok(Address {
        url: url.map_err(|_| "a URL without spaces and with other characters percent-encoded")?,
        authorization,
    })
}

/// The host and what stands behind its colon.
fn split_port(host_and_port: &str) -> Result<(&str, Option<&str>), &'static str> {
    // The colons of an IPv6 address stand in brackets.
    let after_brackets = host_and_port.rfind(']').map_or(0, |at| at + 1);
    let (host, rest) = match host_and_port[after_brackets..].find(':') {
        Some(colon) => host_and_port.split_at(after_brackets + colon),
        None => (host_and_port, ""),
    };
    if host.starts_with('[') && after_brackets != host.len() {
        return Err("a URL with nothing but a port after the address in brackets");
    }
    Ok((host, rest.strip_prefix(':')))
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            host.bytes().any(|byte| byte.is_ascii_alphanumeric()) && host.bytes().all(is_allowed)
        }
    }
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    const WANTED: &str = "a URL whose port is a number from 1 to 65535";
    // `parse` takes a sign too.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WANTED);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(WANTED)
}

/// The user and the password of a URL as the value of a field (RFC 7617, section 2).
fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    const WANTED: &str = "a URL whose user is percent-encoded and has no control characters";
    // Without a password there is a colon all the same, as curl has it.
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let name = percent_decoded(name).ok_or(WANTED)?;
    let password = percent_decoded(password).ok_or(WANTED)?;
    // A colon in the name would move its end into the password.
    if name.contains(&b':') {
        return Err(WANTED);
    }
    let pair = [&name[..], b":", &password].concat();
    if pair.iter().any(u8::is_ascii_control) {
        return Err(WANTED);
    }
    let mut value =
        HeaderValue::try_from(format!("Basic {}", base64(&pair))).map_err(|_| WANTED)?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// RFC 4648, section 4: a few lines in place of a crate.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(match digit <= group.len() {
                true => char::from(ALPHABET[index as usize]),
                false => '=',
            });
        }
    }
    text
}

/// The text as a message may show it: the user, and with it the password, is left out.
fn without_user(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    // A password that is not encoded may hold a slash: what stands before the last `@` is all taken for one.
    match text.rfind('@') {
        Some(at) if at >= start => format!("{}…{}", &text[..start], &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<String> {
        let address = text.parse::<Address>().ok()?;
        Some(address.url().to_string())
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for none in [
            "http://127.0.0.1:80800",
            "http://127.0.0.1:8o/",
            "http://127.0.0.1:-80/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:80:80/",
            "http://a: 80/",
            "http://",
            "http:///x",
            "http://:80/",
            "http://?x",
            "http://me@/",
            "http://a b/",
            "http://a/b c",
            "http://a\\b/",
            "http://a%20b/",
            "http://a,b/",
            "http://../",
            "http://[::1/",
            "http://::1/",
            "http://[::g]/",
            "http://[::1]80/",
            "http://[::1]x:80/",
            "http://[::1%eth0]/",
            "http://[]/",
            "http://me%0d:x@a/",
            "http://me%3a:x@a/",
            "http://me%2:x@a/",
            "http:a/",
            "//a/",
            "a/",
            "",
            "ftp://a/",
        ] {
            assert_eq!(whole(none), None, "{none}");
        }
    }

    #[test]
    fn an_address_is_read_whole() {
        for (text, expected) in [
            ("http://a", "http://a/"),
            ("HTTP://Example.COM/X", "http://example.com/X"),
            (
                "https://a:443/x?y=http://b:99999/@z",
                "https://a:443/x?y=http://b:99999/@z",
            ),
            ("http://a?x=1", "http://a/?x=1"),
            ("http://a#f", "http://a/"),
            ("http://a:008000/", "http://a:8000/"),
            ("http://[::1]:8000/x", "http://[::1]:8000/x"),
            ("http://[2001:DB8::1]", "http://[2001:db8::1]/"),
            ("http://my_host-1.local./", "http://my_host-1.local./"),
            ("http://a:b@c@d:1/", "http://d:1/"),
        ] {
            assert_eq!(whole(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_user_becomes_a_header_and_shows_nowhere() {
        for (text, value) in [
            (
                "http://Aladdin:open%20sesame@a/",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("http://me@a/", "Basic bWU6"),
            ("http://me:a:b@a/", "Basic bWU6YTpi"),
            ("http://:x@a/", "Basic Ong="),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.authorization().unwrap(), value, "{text}");
            assert!(!format!("{address:?}").contains("Basic"));
        }
        for wrong in [
            "http://me:secret@a:99999/",
            "me:secret@a/",
            "http://me:sec/ret@a/",
        ] {
            let error = wrong.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("ret"), "{error}");
        }
    }
}
