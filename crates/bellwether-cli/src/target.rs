//! [`Target`]: the arguments that name a server, shared by all commands that connect.

use std::fmt;
use std::path::PathBuf;

use bellwether_client::{Address, EventSource, EventSourceBuilder, HyperTransport};
use http::{HeaderName, HeaderValue};

use crate::exit::{Failure, USAGE};
use crate::trust;

/// Where to connect, and what to send with every request.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The address; `http://` may be left out, and `:8000/x` is this machine
    #[arg(env = "BELLWETHER_URL")]
    pub(crate) url: String,

    /// A header field of every request (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<Field>,

    /// Sent as `Authorization: Bearer`; better set by the environment, where other users do not see it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "BELLWETHER_TOKEN",
        hide_env_values = true,
        value_parser = token
    )]
    token: Option<HeaderValue>,

    /// The same from a file, without the line break at its end; counts more than BELLWETHER_TOKEN
    #[arg(long, value_name = "FILE", value_parser = token_file)]
    token_file: Option<HeaderValue>,

    /// Trust the authorities in this file (PEM) and no others [default: those of SSL_CERT_FILE, else those of this
    /// machine and Mozilla's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Target {
    /// The whole address.
    pub(crate) fn url(&self) -> String {
        absolute(&self.url)
    }

    /// Reads an address, this one with more path perhaps, by the rules of the client.
    ///
    /// # Errors
    ///
    /// It is none: wrong usage.
    pub(crate) fn address(url: &str) -> Result<Address, Failure> {
        url.parse().map_err(|error| Failure::new(USAGE, error))
    }

    /// The header fields, the token's among them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
        let token = self.token_file.as_ref().or(self.token.as_ref()).into_iter();
        let token = token.map(|token| (http::header::AUTHORIZATION, token.clone()));
        let fields = self.headers.iter();
        token.chain(fields.map(|Field { name, value }| (name.clone(), value.clone())))
    }

    /// What requests go through.
    ///
    /// # Errors
    ///
    /// See [`trust::transport`].
    pub(crate) fn transport(&self) -> Result<HyperTransport, Failure> {
        trust::transport(self.ca.as_deref())
    }

    /// An event source for this address, with the header fields set.
    pub(crate) fn source(&self, url: &str) -> EventSourceBuilder {
        let builder = EventSource::builder(url);
        self.fields().fold(builder, |builder, (name, value)| {
            builder.header(name, value)
        })
    }
}

/// One header field.
#[derive(Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

// It may hold a key, so no trace of the arguments shows it.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

impl std::str::FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once(':') else {
            return Err("a colon between name and value is missing".to_owned());
        };
        let name = name.trim();
        Ok(Self {
            name: name
                .parse()
                .map_err(|_| format!("{name:?} is not a header field name"))?,
            value: HeaderValue::from_bytes(value.trim().as_bytes())
                .map_err(|_| "the value holds a control character".to_owned())?,
        })
    }
}

fn token(text: &str) -> Result<HeaderValue, String> {
    if text.is_empty() {
        return Err("a token has at least one character".to_owned());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
        .map_err(|_| "a token has no control characters".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn token_file(file: &str) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    token(text.trim_end_matches(['\n', '\r']))
}

/// The address with its scheme.
fn absolute(url: &str) -> String {
    // Another address may stand in the query.
    let before_path = url.split(['/', '?', '#']).next().unwrap_or_default();
    match url[before_path.len()..].starts_with("//") && before_path.ends_with(':') {
        true => url.to_owned(),
        false if url.starts_with(':') => format!("http://127.0.0.1{url}"),
        false => format!("http://{url}"),
    }
}

/// The address with one more query parameter.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{name}={}", percent_encoded(value))
}

/// The address with more path, whatever slash it ends with; a query of its own stays behind the path.
pub(crate) fn with_path(url: &str, path: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    format!("{}{path}{query}", base.trim_end_matches('/'))
}

/// Only what RFC 3986, section 2.3, leaves without a meaning of its own stays as it is.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short() {
        for (short, whole) in [
            ("https://a.example/x", "https://a.example/x"),
            ("localhost:8000/x", "http://localhost:8000/x"),
            (":8000/x", "http://127.0.0.1:8000/x"),
            (":8000/x?u=http://b/", "http://127.0.0.1:8000/x?u=http://b/"),
            ("a?u=http://b/", "http://a?u=http://b/"),
            ("me:secret@a/", "http://me:secret@a/"),
        ] {
            assert_eq!(absolute(short), whole);
        }
    }

    #[test]
    fn queries_and_paths_are_added_where_they_belong() {
        assert_eq!(
            with_query("http://a/x", "t", "ä &1"),
            "http://a/x?t=%C3%A4%20%261"
        );
        assert_eq!(
            with_query("http://a/x?y=1#z", "t", "~"),
            "http://a/x?y=1&t=~"
        );
        assert_eq!(with_path("http://a", "/publish"), "http://a/publish");
        assert_eq!(
            with_path("http://a/b/?k=1#z", "/publish"),
            "http://a/b/publish?k=1"
        );
    }

    #[test]
    fn a_header_field_is_split_at_its_first_colon() {
        let field: Field = "X-Time:  10:30 ".parse().unwrap();
        assert_eq!(
            (field.name.as_str(), field.value.as_bytes()),
            ("x-time", &b"10:30"[..])
        );
        assert!("x-time".parse::<Field>().is_err());
        assert!("x time: 1".parse::<Field>().is_err());
        assert!("x: a\nb".parse::<Field>().is_err());
    }
}
