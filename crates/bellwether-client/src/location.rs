//! Where a redirect leads: `Location` against the present URL (RFC 3986, section 5), and what an origin is.
//!
//! Own code rather than the `url` crate, which brings forty crates of Unicode tables for host names that HTTP
//! cannot send anyway. Characters that a URI may not contain are percent-encoded, as browsers do.

use std::fmt::Write as _;

use http::Uri;

/// The URL that `location` names, seen from `base`; `None` if it is none.
pub(crate) fn resolve(base: &Uri, location: &[u8]) -> Option<Uri> {
    let reference = sendable(location.trim_ascii());
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if let Some(end) = scheme_end(&reference) {
        // Without the slashes, `http` would take the scheme for a host.
        reference[end..].strip_prefix("://")?;
        let absolute: Uri = reference.parse().ok()?;
        return with_clean_path(&reference[..end], absolute.authority()?.as_str(), &absolute);
    }
    if let Some(rest) = reference.strip_prefix("//") {
        let absolute: Uri = format!("{scheme}://{rest}").parse().ok()?;
        return with_clean_path(scheme, absolute.authority()?.as_str(), &absolute);
    }
    let path_and_query = match reference.as_bytes().first() {
        None => base.path_and_query()?.to_string(),
        Some(b'/') => reference,
        Some(b'?') => format!("{}{reference}", base.path()),
        Some(_) => {
            let folder = base.path().rfind('/').map_or("/", |at| &base.path()[..=at]);
            format!("{folder}{reference}")
        }
    };
    let relative: Uri = path_and_query.parse().ok()?;
    with_clean_path(scheme, authority.as_str(), &relative)
}

/// The origin of a URL as text: scheme, host and, unless it is the scheme's own, port.
pub(crate) fn origin(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    match url.port_u16() {
        Some(port) if Some(port) != default_port(&scheme) => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    }
}

/// The port that a URL stands for.
pub(crate) fn port(url: &Uri) -> u16 {
    let default = default_port(url.scheme_str().unwrap_or_default());
    url.port_u16().or(default).unwrap_or(80)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Where the scheme of an absolute reference ends, at its colon.
fn scheme_end(reference: &str) -> Option<usize> {
    let colon = reference.find(':')?;
    let scheme = &reference.as_bytes()[..colon];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    is_scheme.then_some(colon)
}

/// The reference without its fragment, and with everything encoded that a URI cannot contain.
fn sendable(reference: &[u8]) -> String {
    let reference = reference
        .split(|byte| *byte == b'#')
        .next()
        .unwrap_or_default();
    let mut text = String::with_capacity(reference.len());
    for byte in reference {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=b' ' | 0x7f.. => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
            byte => text.push(char::from(*byte)),
        }
    }
    text
}

fn with_clean_path(scheme: &str, authority: &str, from: &Uri) -> Option<Uri> {
    let mut path_and_query = without_dots(from.path());
    if let Some(query) = from.query() {
        path_and_query.push('?');
        path_and_query.push_str(query);
    }
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path_and_query)
        .build()
        .ok()
}

/// Takes `.` and `..` out of an absolute path (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(base: &str, location: &str) -> Option<String> {
        resolve(&base.parse().unwrap(), location.as_bytes()).map(|url| url.to_string())
    }

    #[test]
    fn references_resolve_as_in_the_examples_of_the_rfc() {
        // RFC 3986, section 5.4; fragments are left out, since they are never sent.
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://h:8443/x/../y?z", "https://h:8443/y?z"),
        ] {
            assert_eq!(
                resolved(base, reference).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
    }

    #[test]
    fn what_a_uri_cannot_carry_is_encoded_and_what_is_no_url_is_refused() {
        let base = "http://a/b";
        assert_eq!(
            resolved(base, "/ä x|").as_deref(),
            Some("http://a/%C3%A4%20x%7C")
        );
        assert_eq!(resolved(base, "  /x  ").as_deref(), Some("http://a/x"));
        for nothing in ["http://", "//", "http:x", "mailto:a@b", "http://a b/"] {
            assert_eq!(resolved(base, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |url: &str| origin(&url.parse().unwrap());
        assert_eq!(of("http://Example.com:80/x"), "http://example.com");
        assert_eq!(of("https://example.com:443/"), "https://example.com");
        assert_eq!(of("https://example.com:80/"), "https://example.com:80");
        assert_eq!(of("http://[::1]:8000/"), "http://[::1]:8000");
        assert_eq!(port(&"https://a/".parse().unwrap()), 443);
    }
}
