//! The clients: their names, their commands, and the files that have their versions.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::table::{root, scratch};

/// A client and the program that drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// The name that its users know.
    pub(crate) name: &'static str,
    pub(crate) home: Home,
    /// Arguments for the driver, after the address.
    pub(crate) words: &'static [&'static str],
    pub(crate) kind: Kind,
    /// Whether `--short` tries it.
    pub(crate) is_short: bool,
    /// Why it may get less from Bellwether than from the minimal server; empty where it may not.
    pub(crate) excuse: &'static str,
}

/// Where a client comes from, with the file of its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A package of npm, under the name in `package.json`.
    Npm(&'static str, &'static str),
    /// A package of PyPI, under the name in `requirements.txt`.
    PyPi(&'static str, &'static str),
    /// A crate of the package `world/clients/rust`, whose program has the same name.
    Crate(&'static str),
    /// A browser that is installed: its paths.
    Browser(&'static [&'static str]),
    /// This project's own.
    Own,
}

/// What is asked of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads streams of events.
    Events,
    /// The same with help: the file shows what to write on the client's side.
    Helped,
    /// It reads answers of a chat model: OpenAI's API.
    OpenAi,
    /// Anthropic's API.
    Anthropic,
}

const fn client(name: &'static str, home: Home) -> Client {
    Client {
        name,
        home,
        words: &[],
        kind: Kind::Events,
        is_short: false,
        excuse: "",
    }
}

const fn npm(name: &'static str, driver: &'static str) -> Client {
    client(name, Home::Npm(name, driver))
}

const fn pypi(name: &'static str, driver: &'static str) -> Client {
    client(name, Home::PyPi(name, driver))
}

/// One with the interface of an `EventSource`, which its driver loads by this name.
const fn event_source(name: &'static str, words: &'static [&'static str]) -> Client {
    let client = npm(name, "event_source.mjs");
    Client { words, ..client }
}

impl Client {
    const fn helped(self) -> Self {
        Self {
            kind: Kind::Helped,
            ..self
        }
    }

    const fn speaks(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    const fn short(self) -> Self {
        Self {
            is_short: true,
            ..self
        }
    }

    const fn excused(self, excuse: &'static str) -> Self {
        Self { excuse, ..self }
    }

    const fn at(self, home: Home) -> Self {
        Self { home, ..self }
    }
}

pub(crate) const CLIENTS: &[Client] = &[
    client(
        "Chromium",
        Home::Browser(&["/usr/bin/chromium", "/usr/bin/chromium-browser"]),
    ),
    client(
        "Firefox ESR",
        Home::Browser(&["/usr/lib/firefox-esr/firefox-esr", "/usr/bin/firefox-esr"]),
    ),
    client("bellwether-client", Home::Own),
    event_source("eventsource", &["eventsource"]).short(),
    event_source("eventsource", &["eventsource-2"])
        .at(Home::Npm("eventsource-2", "event_source.mjs")),
    event_source("event-source-polyfill", &["event-source-polyfill"]),
    npm("event-source-polyfill", "event_source_polyfill_over.mjs").helped(),
    event_source("launchdarkly-eventsource", &["launchdarkly-eventsource"]),
    npm("launchdarkly-eventsource", "launchdarkly_silence.mjs").helped(),
    event_source("extended-eventsource", &["extended-eventsource"]),
    event_source("undici", &["undici"]),
    npm("eventsource-client", "eventsource_client.mjs"),
    npm("@microsoft/fetch-event-source", "fetch_event_source.mjs"),
    npm(
        "@microsoft/fetch-event-source",
        "fetch_event_source_back.mjs",
    )
    .helped().short(),
    pypi("httpx-sse", "httpx_sse_one.py"),
    pypi("httpx-sse", "httpx_sse_back.py").helped().short(),
    pypi("launchdarkly-eventsource (PyPI)", "launchdarkly.py")
        .at(Home::PyPi("launchdarkly-eventsource", "launchdarkly.py")),
    pypi("launchdarkly-eventsource (PyPI)", "launchdarkly_back.py")
        .at(Home::PyPi(
            "launchdarkly-eventsource",
            "launchdarkly_back.py",
        ))
        .helped(),
    pypi("requests-sse", "requests_sse_plain.py"),
    pypi("aiohttp-sse-client", "aiohttp_sse_client_plain.py"),
    pypi("aiohttp-sse-client", "aiohttp_sse_client_back.py").helped(),
    pypi("aiosseclient", "aiosseclient_plain.py"),
    pypi("sseclient", "sseclient_plain.py").excused(
        "it keeps half an event over a reconnect, and with the id last there is more of it to keep; with the id first, \
         other clients lose the event",
    ),
    pypi("sseclient-py", "sseclient_py_plain.py"),
    pypi("sseclient-py", "sseclient_py_back.py").helped(),
    client("reqwest-eventsource", Home::Crate("reqwest-eventsource")),
    client(
        "eventsource-client (crate)",
        Home::Crate("eventsource-client"),
    ),
    pypi("openai (PyPI)", "openai_chat.py")
        .at(Home::PyPi("openai", "openai_chat.py"))
        .speaks(Kind::OpenAi),
    npm("openai (npm)", "openai.mjs")
        .at(Home::Npm("openai", "openai.mjs"))
        .speaks(Kind::OpenAi)
        .short(),
    pypi("anthropic (PyPI)", "anthropic_messages.py")
        .at(Home::PyPi("anthropic", "anthropic_messages.py"))
        .speaks(Kind::Anthropic),
    npm("@anthropic-ai/sdk", "anthropic.mjs").speaks(Kind::Anthropic),
];

/// The folder of the drivers.
pub(crate) fn folder() -> PathBuf {
    root().join("world/clients")
}

/// The Python with the packages of `requirements.txt`.
pub(crate) fn python() -> PathBuf {
    scratch().join("venv/bin/python")
}

/// Where the programs of `world/clients/rust` are built.
pub(crate) fn crates() -> PathBuf {
    scratch().join("rust")
}

impl Client {
    /// The program and its arguments, with the address; the error names what is missing.
    pub(crate) fn command(&self, url: &str) -> Result<Vec<String>, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let driver = |folder_of: &str, file| text(&folder().join(folder_of).join(file));
        let mut command = match self.home {
            Home::Npm(_, file) => vec!["node".to_owned(), driver("js", file)],
            Home::PyPi(_, file) => vec![text(&python()), driver("python", file)],
            Home::Browser(_) => vec!["node".to_owned(), driver("js", "browser.mjs")],
            Home::Crate(name) => vec![text(&crates().join("debug").join(name))],
            Home::Own => {
                let program = std::env::current_exe().map_err(|error| error.to_string())?;
                vec![text(&program), "listen".to_owned()]
            }
        };
        command.push(url.to_owned());
        if let Home::Browser(paths) = self.home {
            let found = paths.iter().find(|path| Path::new(path).is_file());
            let found = found.ok_or_else(|| format!("there is no {}", paths[0]))?;
            command.push((*found).to_owned());
        }
        command.extend(self.words.iter().map(|word| (*word).to_owned()));
        Ok(command)
    }

    /// The file that shows what a client needs, from the root of the repository.
    pub(crate) fn file(&self) -> String {
        match self.home {
            Home::Npm(_, file) => format!("world/clients/js/{file}"),
            Home::PyPi(_, file) => format!("world/clients/python/{file}"),
            Home::Crate(name) => format!("world/clients/rust/src/{}.rs", name.replace('-', "_")),
            Home::Browser(_) => "world/clients/page.html".to_owned(),
            Home::Own => "world/src/listen.rs".to_owned(),
        }
    }

    /// The version that is tried, from its lock or list.
    pub(crate) fn version(&self) -> String {
        let read = |file: &str| std::fs::read_to_string(folder().join(file)).unwrap_or_default();
        match self.home {
            Home::Npm(name, _) => npm_version(&read("package.json"), name),
            Home::PyPi(name, _) => pypi_version(&read("requirements.txt"), name),
            Home::Crate(name) => crate_version(&read("rust/Cargo.lock"), name),
            Home::Browser(paths) => browser_version(paths),
            Home::Own => env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn npm_version(manifest: &str, name: &str) -> String {
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    let version = manifest["dependencies"][name].as_str().unwrap_or_default();
    // An alias is `npm:NAME@VERSION`.
    version.rsplit('@').next().unwrap_or_default().to_owned()
}

fn pypi_version(list: &str, name: &str) -> String {
    let pinned = |line: &str| Some(line.strip_prefix(name)?.strip_prefix("==")?.to_owned());
    list.lines().find_map(pinned).unwrap_or_default()
}

fn crate_version(lock: &str, name: &str) -> String {
    let package = lock.split("[[package]]").find(|package| {
        package
            .lines()
            .any(|line| line == format!("name = {name:?}"))
    });
    let version = package.and_then(|package| {
        package
            .lines()
            .find_map(|line| line.strip_prefix("version = "))
    });
    version.unwrap_or_default().trim_matches('"').to_owned()
}

/// The first number with dots in the browser's version, up to its first dot: browsers change often.
fn browser_version(paths: &[&str]) -> String {
    let Some(path) = paths.iter().find(|path| Path::new(path).is_file()) else {
        return String::new();
    };
    let said = std::process::Command::new(path).arg("--version").output();
    let said = said.map_or(String::new(), |said| {
        String::from_utf8_lossy(&said.stdout).into_owned()
    });
    let number = said
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let number = number.and_then(|number| number.split('.').next());
    number.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_version_and_a_driver() {
        for client in CLIENTS {
            let is_browser = matches!(client.home, Home::Browser(_));
            assert!(is_browser || !client.version().is_empty(), "{client:?}");
            assert!(root().join(client.file()).is_file(), "{}", client.file());
        }
    }

    #[test]
    fn versions_are_read_from_what_pins_them() {
        let manifest = r#"{ "dependencies": { "a": "1.2.3", "a-2": "npm:a@2.0.0" } }"#;
        assert_eq!(npm_version(manifest, "a"), "1.2.3");
        assert_eq!(npm_version(manifest, "a-2"), "2.0.0");
        assert_eq!(pypi_version("a-b==2\na==1\n", "a"), "1");
        let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\n\n[[package]]\nname = \"b\"\nversion = \"2\"\n";
        assert_eq!(crate_version(lock, "b"), "2");
    }

    #[test]
    fn drivers_are_short_enough_to_read() {
        for client in CLIENTS {
            let text = std::fs::read_to_string(root().join(client.file())).expect("it is there");
            assert!(text.lines().count() < 80, "{}", client.file());
        }
    }
}
