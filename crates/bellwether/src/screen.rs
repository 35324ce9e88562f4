//! The texts that are printed at the start and at the stop.
//!
//! Pure functions of what is known; the caller prints. The first line holds the address, since programs
//! that start the server read it there.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the start screen tells.
#[derive(Debug)]
pub(crate) struct StartScreen<'a> {
    /// What stands first on the screen.
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Where the server listens; the first is the one to open.
    pub(crate) addresses: &'a [Address],
    pub(crate) routes: &'a [RouteLine],
    /// The directory of static files as it was given.
    pub(crate) static_directory: Option<&'a Path>,
}

/// An address on which the server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// `http://`
    Http(SocketAddr),
    /// `https://`
    Https(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A line of the table of routes.
#[derive(Clone, Debug)]
pub(crate) struct RouteLine {
    /// Empty if only axum's method router knows them.
    methods: &'static [&'static str],
    path: String,
    /// What a command asks for to try it.
    sample: String,
    /// Whether it streams events; `None` if only axum's method router knows.
    is_stream: Option<bool>,
}

impl RouteLine {
    pub(crate) fn new(
        methods: &'static [&'static str],
        path: &str,
        sample: &str,
        is_stream: Option<bool>,
    ) -> Self {
        Self {
            methods,
            path: path.to_owned(),
            sample: sample.to_owned(),
            is_stream,
        }
    }

    /// Whether it is the route of this path.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.path == path
    }

    fn methods(&self) -> String {
        if self.methods.is_empty() {
            "-".to_owned()
        } else {
            self.methods.join(",")
        }
    }

    /// Whether its path can be copied into a command as it is.
    fn is_tryable(&self) -> bool {
        self.is_stream == Some(true) && self.methods.contains(&"GET") && !self.path.contains('{')
    }
}

/// Whether a text is for eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputStyle {
    Plain,
    Coloured,
}

impl OutputStyle {
    /// Colour on a terminal, unless `NO_COLOR` is set to anything (no-color.org) or `TERM` is `dumb`.
    pub(crate) fn of_stdout() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let refused = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !refused {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    fn painted(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn strong(self, text: &str) -> String {
        self.painted("1", text)
    }

    fn link(self, text: &str) -> String {
        self.painted("36", text)
    }

    fn quiet(self, text: &str) -> String {
        self.painted("2", text)
    }
}

impl Address {
    /// The address as one would open it: an unspecified one by its loopback.
    pub(crate) fn url(&self) -> String {
        let (scheme, mut address) = match self {
            Self::Http(address) => ("http", *address),
            Self::Https(address) => ("https", *address),
            Self::Unix(path) => return format!("unix:{}", path.display()),
        };
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{scheme}://{address}")
    }

    fn is_everywhere(&self) -> bool {
        match self {
            Self::Http(address) | Self::Https(address) => address.ip().is_unspecified(),
            Self::Unix(_) => false,
        }
    }
}

impl StartScreen<'_> {
    /// The whole text, each line ended by a line feed.
    pub(crate) fn text(&self, look: OutputStyle) -> String {
        let mut text = format!("{} {}", look.strong(self.name), self.version);
        for (position, address) in self.addresses.iter().enumerate() {
            let before = if position == 0 { " on " } else { "\n  and on " };
            let after = if address.is_everywhere() {
                " (every interface)"
            } else {
                ""
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "{before}{}{after}", look.link(&address.url()));
        }
        text.push('\n');
        self.write_routes(&mut text, look);
        let tryable = self.routes.iter().find(|route| route.is_tryable());
        if let (Some(address), Some(route)) = (self.addresses.first(), tryable) {
            let line = curl_line(address, &route.sample);
            let _ = write!(text, "\n{}\n  {line}\n", look.quiet("Watch the events:"));
        }
        let _ = write!(text, "\n{}\n", look.quiet("Ctrl-C to stop"));
        text
    }

    fn write_routes(&self, text: &mut String, look: OutputStyle) {
        let methods: Vec<String> = self.routes.iter().map(RouteLine::methods).collect();
        let served = self
            .static_directory
            .map(|directory| directory.display().to_string());
        let wide = methods.iter().map(String::len).max().unwrap_or(0).max(3);
        let paths = self.routes.iter().map(|route| route.path.chars().count());
        let long = paths.max().unwrap_or(0).max(2);
        if !self.routes.is_empty() || served.is_some() {
            text.push('\n');
        }
        for (route, methods) in self.routes.iter().zip(&methods) {
            let kind = match route.is_stream {
                Some(true) => look.strong("SSE"),
                Some(false) => look.quiet("HTTP"),
                None => look.quiet("-"),
            };
            let _ = writeln!(text, "  {methods:wide$}  {:long$}  {kind}", route.path);
        }
        if let Some(directory) = served {
            let kind = look.quiet(&format!("files from {directory}"));
            let _ = writeln!(text, "  {:wide$}  {:long$}  {kind}", "GET", "/*");
        }
    }
}

fn curl_line(address: &Address, target: &str) -> String {
    match address {
        Address::Unix(socket) => format!(
            "curl -N --unix-socket {} {}",
            shell_word(&socket.display().to_string()),
            shell_word(&format!("http://localhost{target}"))
        ),
        address => format!(
            "curl -N {}",
            shell_word(&format!("{}{target}", address.url()))
        ),
    }
}

/// The text as one word of a shell's command line: in quotes if a shell would read anything in it.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The line at the first signal to stop.
pub(crate) fn draining(streams: u64, window: std::time::Duration) -> String {
    let seconds = window.as_secs_f64();
    format!(
        "draining {}, at most {seconds} s (Ctrl-C again to exit now)",
        counted(streams)
    )
}

/// The last line: how the streams have ended.
pub(crate) fn drained(ended: u64, cut: u64) -> String {
    format!("done: {ended} ended, {cut} cut")
}

/// What to tell when the port is taken. `by_code`: the program's code names the address, so `PORT` does not.
pub(crate) fn port_taken(address: SocketAddr, by_code: bool) -> String {
    let port = address.port();
    // Ports end at 65535, and below 1024 the next one would mostly need rights, too.
    let other = if (1024..u16::MAX).contains(&port) {
        port + 1
    } else {
        8000
    };
    let advice = if by_code {
        format!("listen on another port, such as {other} (0 picks a free one)")
    } else {
        format!("start with PORT={other} to use another port (PORT=0 picks a free one)")
    };
    format!(
        "listen on {address}: another program listens there already; {advice}, or find that program with `{}`",
        listeners(port)
    )
}

fn listeners(port: u16) -> String {
    if cfg!(target_os = "linux") {
        format!("ss -ltnp 'sport = :{port}'")
    } else if cfg!(windows) {
        format!("netstat -ano | findstr :{port}")
    } else {
        format!("lsof -nP -iTCP:{port} -sTCP:LISTEN")
    }
}

fn counted(streams: u64) -> String {
    if streams == 1 {
        "1 stream".to_owned()
    } else {
        format!("{streams} streams")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn routes() -> Vec<RouteLine> {
        vec![
            RouteLine::new(&["GET"], "/rooms/{id}", "/rooms/{id}", Some(true)),
            RouteLine::new(&["GET", "POST"], "/prices", "/prices", Some(false)),
            RouteLine::new(&["POST"], "/ask", "/ask", Some(true)),
            RouteLine::new(&["GET"], "/events", "/events", Some(true)),
            RouteLine::new(&[], "/pair", "/pair", None),
        ]
    }

    fn http(address: &str) -> Address {
        Address::Http(address.parse().unwrap())
    }

    fn screen(addresses: &[Address], look: OutputStyle) -> String {
        let static_directory = Some(Path::new("static"));
        StartScreen {
            name: "Bellwether",
            version: "0.1.0",
            addresses,
            routes: &routes(),
            static_directory,
        }
        .text(look)
    }

    #[test]
    fn the_screen_names_address_routes_and_a_line_to_copy() {
        let expected = "\
Bellwether 0.1.0 on http://127.0.0.1:8000

  GET       /rooms/{id}  SSE
  GET,POST  /prices      HTTP
  POST      /ask         SSE
  GET       /events      SSE
  -         /pair        -
  GET       /*           files from static

Watch the events:
  curl -N http://127.0.0.1:8000/events

Ctrl-C to stop
";
        assert_eq!(
            screen(&[http("127.0.0.1:8000")], OutputStyle::Plain),
            expected
        );
    }

    #[test]
    fn the_first_line_holds_an_address_that_can_be_opened() {
        let first = |address| {
            screen(&[address], OutputStyle::Plain)
                .lines()
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            first(http("0.0.0.0:80")),
            "Bellwether 0.1.0 on http://127.0.0.1:80 (every interface)"
        );
        assert_eq!(
            first(http("[::]:80")),
            "Bellwether 0.1.0 on http://[::1]:80 (every interface)"
        );
        let https = Address::Https("127.0.0.1:443".parse().unwrap());
        assert_eq!(first(https), "Bellwether 0.1.0 on https://127.0.0.1:443");
        let socket = Address::Unix("/run/app.sock".into());
        assert_eq!(
            first(socket.clone()),
            "Bellwether 0.1.0 on unix:/run/app.sock"
        );
        let text = screen(&[http("127.0.0.1:1"), socket.clone()], OutputStyle::Plain);
        assert!(text.contains("\n  and on unix:/run/app.sock\n"), "{text}");
        let text = screen(&[socket], OutputStyle::Plain);
        let line = "curl -N --unix-socket /run/app.sock http://localhost/events";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn the_line_to_copy_is_read_by_a_shell_as_it_stands() {
        let route = RouteLine::new(&["GET"], "/events", "/events?topic=it's&all", Some(true));
        let text = StartScreen {
            name: "Bellwether",
            version: "0.1.0",
            addresses: &[http("[::1]:80")],
            routes: &[route],
            static_directory: None,
        }
        .text(OutputStyle::Plain);
        let line = r"curl -N 'http://[::1]:80/events?topic=it'\''s&all'";
        assert!(text.contains(line), "{text}");
        let socket = Address::Unix("/run/my app.sock".into());
        let line = "curl -N --unix-socket '/run/my app.sock' http://localhost/events";
        assert_eq!(curl_line(&socket, "/events"), line);
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let coloured = screen(&[http("127.0.0.1:8000")], OutputStyle::Coloured);
        assert!(
            coloured.contains("\x1b[36mhttp://127.0.0.1:8000\x1b[0m"),
            "{coloured}"
        );
        let mut plain = coloured;
        for code in ["\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, screen(&[http("127.0.0.1:8000")], OutputStyle::Plain));
    }

    #[test]
    fn nothing_to_show_leaves_no_empty_table() {
        let addresses = [http("127.0.0.1:8000")];
        let text = StartScreen {
            name: "Bellwether",
            version: "0.1.0",
            addresses: &addresses,
            routes: &[],
            static_directory: None,
        }
        .text(OutputStyle::Plain);
        assert_eq!(
            text,
            "Bellwether 0.1.0 on http://127.0.0.1:8000\n\nCtrl-C to stop\n"
        );
    }

    #[test]
    fn stopping_says_how_many_and_how_long() {
        assert_eq!(
            draining(42, Duration::from_secs(10)),
            "draining 42 streams, at most 10 s (Ctrl-C again to exit now)"
        );
        assert_eq!(
            draining(1, Duration::from_millis(1500)),
            "draining 1 stream, at most 1.5 s (Ctrl-C again to exit now)"
        );
        assert_eq!(drained(42, 0), "done: 42 ended, 0 cut");
    }

    #[test]
    fn a_taken_port_says_which_and_what_to_do() {
        let message = |address: &str| port_taken(address.parse().unwrap(), false);
        assert!(message("127.0.0.1:8000").starts_with("listen on 127.0.0.1:8000: "));
        assert!(message("127.0.0.1:8000").contains("PORT=8001"));
        assert!(message("127.0.0.1:65535").contains("PORT=8000"));
        assert!(message("127.0.0.1:80").contains("PORT=8000"));
    }
}
