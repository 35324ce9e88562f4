//! The proxies: their packages, commands and files, and what of a file is another in a test.

use std::path::Path;
use std::process::Command;

/// A proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The Debian package.
    pub(super) package: &'static str,
    /// The file of its configuration, in each of the folders below `world/proxies`.
    pub(super) file: &'static str,
    /// The text before the configuration, or one that includes it as `part.conf`; empty if none is needed.
    pub(super) frame: &'static str,
    /// The text in the docs' configuration, and its replacement in a test; [`Places::filled`] fills the braces.
    pub(super) changes: &'static [(&'static str, &'static str)],
    /// Where compression is turned on, and how; `None` if the proxy has none.
    pub(super) compression: Option<(&'static str, &'static str)>,
    /// How HTTP/2 is spoken, if it is.
    pub(super) http2: Http2,
    /// Program and arguments.
    pub(super) command: &'static [&'static str],
    /// Program and arguments that print the version, and the text before it.
    pub(super) version: (&'static [&'static str], &'static str),
    pub(super) is_short: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http2 {
    Tls,
    /// In plain text on the same port, without an upgrade.
    Plain,
    None,
}

/// What differs from one start to the next.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) home: String,
    pub(super) certificate: String,
    pub(super) upstream: u16,
    pub(super) plain: u16,
    pub(super) tls: u16,
}

impl Places {
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("{home}", &self.home)
            .replace("{certificate}", &self.certificate)
            .replace("{upstream}", &self.upstream.to_string())
            .replace("{plain}", &self.plain.to_string())
            .replace("{tls}", &self.tls.to_string())
    }
}

/// The certificate in the docs, and in a test.
const CERTIFICATE: (&str, &str) = ("/etc/ssl/example.org.pem", "{certificate}");
const UPSTREAM: (&str, &str) = ("127.0.0.1:8000", "127.0.0.1:{upstream}");

pub(super) const KINDS: [Kind; 6] = [
    Kind {
        name: "nginx",
        package: "nginx",
        file: "nginx.conf",
        frame: "nginx.conf",
        changes: &[
            UPSTREAM,
            CERTIFICATE,
            ("listen 80;", "listen 127.0.0.1:{plain};"),
            ("listen 443 ssl", "listen 127.0.0.1:{tls} ssl"),
        ],
        compression: Some((
            "    location /",
            "    gzip on;\n    gzip_types *;\n    location /",
        )),
        http2: Http2::Tls,
        command: &["nginx", "-e", "{home}/log", "-c", "{home}/nginx.conf"],
        version: (&["nginx", "-v"], "nginx/"),
        is_short: true,
    },
    Kind {
        name: "HAProxy",
        package: "haproxy",
        file: "haproxy.cfg",
        frame: "haproxy.cfg",
        changes: &[
            UPSTREAM,
            CERTIFICATE,
            ("bind :80", "bind 127.0.0.1:{plain}"),
            ("bind :443", "bind 127.0.0.1:{tls}"),
        ],
        compression: Some((
            "backend feed\n",
            "backend feed\n    compression algo gzip\n",
        )),
        http2: Http2::Tls,
        command: &["haproxy", "-db", "-f", "{home}/haproxy.cfg"],
        version: (&["haproxy", "-v"], "version "),
        is_short: true,
    },
    Kind {
        name: "Caddy",
        package: "caddy",
        file: "Caddyfile",
        frame: "Caddyfile",
        changes: &[UPSTREAM, ("example.org {\n", "(site) {\n")],
        compression: Some(("\treverse_proxy", "\tencode gzip\n\treverse_proxy")),
        http2: Http2::Tls,
        command: &[
            "caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            "{home}/Caddyfile",
        ],
        version: (&["caddy", "version"], ""),
        is_short: false,
    },
    Kind {
        name: "Varnish",
        package: "varnish",
        file: "varnish.vcl",
        frame: "",
        changes: &[("\"8000\"", "\"{upstream}\"")],
        compression: Some((
            "\nbackend",
            "\nsub vcl_backend_response {\n    set beresp.do_gzip = true;\n}\n\nbackend",
        )),
        http2: Http2::Plain,
        command: &[
            "varnishd",
            "-F",
            "-n",
            "{home}/state",
            "-f",
            "{home}/varnish.vcl",
            "-a",
            "127.0.0.1:{plain}",
            "-s",
            "malloc,16m",
            "-p",
            "feature=+http2",
        ],
        version: (&["varnishd", "-V"], "varnish-"),
        is_short: false,
    },
    Kind {
        name: "Apache",
        package: "apache2",
        file: "apache.conf",
        frame: "apache.conf",
        changes: &[
            UPSTREAM,
            CERTIFICATE,
            ("Listen 80", "Listen 127.0.0.1:{plain}"),
            ("Listen 443", "Listen 127.0.0.1:{tls}"),
            ("*:80>", "*:{plain}>"),
            ("*:443>", "*:{tls}>"),
        ],
        compression: Some(("Protocols", "SetOutputFilter DEFLATE\nProtocols")),
        http2: Http2::Tls,
        command: &["apache2", "-D", "FOREGROUND", "-f", "{home}/apache.conf"],
        version: (&["apache2", "-v"], "Apache/"),
        is_short: false,
    },
    Kind {
        name: "Squid",
        package: "squid",
        file: "squid.conf",
        frame: "squid.conf",
        changes: &[
            ("parent 8000", "parent {upstream}"),
            ("http_port 80", "http_port 127.0.0.1:{plain}"),
        ],
        compression: None,
        http2: Http2::None,
        // Its shared memory is named after the service.
        command: &[
            "squid",
            "-N",
            "-n",
            "world{plain}",
            "-f",
            "{home}/squid.conf",
        ],
        version: (&["squid", "-v"], "Version "),
        is_short: false,
    },
];

impl Kind {
    /// Major and minor version; the error names what to install.
    pub(super) fn find_version(&self) -> Result<String, String> {
        let (words, before) = self.version;
        let output = Command::new(words[0]).args(&words[1..]).output();
        let missing = |error| {
            format!(
                "{} cannot be run ({error}): install the package {}",
                words[0], self.package
            )
        };
        let output = output.map_err(missing)?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        version_in(&text, before).ok_or_else(|| format!("{} prints no version: {text}", words[0]))
    }

    /// The text of its configuration in one of the folders.
    pub(super) fn text(&self, folder: &Path) -> Result<String, String> {
        let path = folder.join(self.file);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A configuration of the docs, with a test's ports and paths instead of the public ones.
    pub(super) fn adapted(&self, text: &str, places: &Places) -> Result<String, String> {
        let mut text = text.to_owned();
        for (theirs, ours) in self.changes {
            if !text.contains(theirs) {
                return Err(format!("{} has no {theirs:?}", self.file));
            }
            text = text.replace(theirs, &places.filled(ours));
        }
        Ok(text)
    }

    /// A configuration with compression turned on; the same if it is on there, `None` if there is none.
    pub(super) fn compressing(&self, text: &str) -> Option<String> {
        let (before, with) = self.compression?;
        match text.contains("encode") {
            true => Some(text.to_owned()),
            false => Some(text.replacen(before, with, 1)),
        }
    }
}

/// The first two numbers of a version after these words.
fn version_in(text: &str, before: &str) -> Option<String> {
    let start = text.find(before)? + before.len();
    let mut parts = text[start..].trim_start_matches('v').split('.');
    let digits = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    };
    Some(format!(
        "{}.{}",
        digits(parts.next()?)?,
        digits(parts.next()?)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::root;

    #[test]
    fn every_file_of_the_docs_can_be_adapted() {
        let places = Places {
            home: "/h".to_owned(),
            certificate: "/c".to_owned(),
            upstream: 11,
            plain: 12,
            tls: 13,
        };
        for kind in KINDS {
            for folder in ["usual", "recommended"] {
                let text = kind.text(&root().join("world/proxies").join(folder));
                let text = text.expect("each proxy has both");
                let adapted = kind
                    .adapted(&text, &places)
                    .expect("each change has its place");
                assert!(
                    adapted.contains("11") && !adapted.contains("8000"),
                    "{adapted}"
                );
                assert!(
                    !adapted.contains("{h") && !adapted.contains("{p"),
                    "{adapted}"
                );
                if let Some(compressing) = kind.compressing(&text) {
                    assert!(
                        compressing != text || text.contains("encode"),
                        "{compressing}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_version_is_its_first_two_numbers() {
        assert_eq!(
            version_in("nginx version: nginx/1.22.1", "nginx/").as_deref(),
            Some("1.22")
        );
        assert_eq!(version_in("v2.6.2 h1:x", "").as_deref(), Some("2.6"));
        assert_eq!(
            version_in("Squid Cache: Version 5.7\nx", "Version ").as_deref(),
            Some("5.7")
        );
        assert_eq!(version_in("none", "nginx/"), None);
    }
}
