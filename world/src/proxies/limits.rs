//! Limits that end a stream or keep it out, set so low that they show.

use std::path::Path as FilePath;

use super::kinds::{KINDS, Kind};
use super::origin;
use super::proxy::{Folder, Proxy};
use super::trial::{self, Path};
use super::words::both;
use crate::options::Options;
use crate::table::{Table, root};

/// A limit of a proxy.
#[derive(Debug, Clone, Copy)]
struct Limit {
    proxy: &'static str,
    setting: &'static str,
    /// The default, and its source.
    default: &'static str,
    /// The value in the run.
    tried: &'static str,
    /// The setting in the usual file: text and its replacement; empty if it is an argument.
    change: (&'static str, &'static str),
    arguments: &'static [&'static str],
    shows: Shows,
}

#[derive(Debug, Clone, Copy)]
enum Shows {
    Lifetime,
    Count,
}

/// One more than each limit of a count lets in.
const STREAMS: usize = 12;

const LIMITS: [Limit; 5] = [
    Limit {
        proxy: "HAProxy",
        setting: "`maxconn` of a frontend",
        default: "that of the process, from its limit of open files (configuration manual, 3.2)",
        tried: "4",
        change: ("frontend web\n", "frontend web\n    maxconn 4\n"),
        arguments: &[],
        shows: Shows::Count,
    },
    Limit {
        proxy: "Varnish",
        setting: "`send_timeout`",
        default: "600 s for a whole answer (varnishd(1))",
        tried: "3 s",
        change: ("", ""),
        arguments: &["-p", "send_timeout=3"],
        shows: Shows::Lifetime,
    },
    Limit {
        proxy: "Varnish",
        setting: "`thread_pool_max` × `thread_pools`",
        default: "5,000 × 2; a stream takes two, over HTTP/2 three or more (varnishd(1))",
        tried: "10 × 1",
        change: ("", ""),
        arguments: &[
            "-p",
            "thread_pools=1",
            "-p",
            "thread_pool_min=10",
            "-p",
            "thread_pool_max=10",
            "-p",
            "thread_pool_reserve=1",
        ],
        shows: Shows::Count,
    },
    Limit {
        proxy: "Apache",
        setting: "`MaxRequestWorkers`",
        default: "400 (mod mpm_common); Debian sets 150",
        tried: "4",
        change: (
            "Protocols",
            "ServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nProtocols",
        ),
        arguments: &[],
        shows: Shows::Count,
    },
    Limit {
        proxy: "Squid",
        setting: "`client_lifetime`",
        default: "1 day (squid.conf of the package)",
        tried: "3 s",
        change: ("http_port", "client_lifetime 3 seconds\nhttp_port"),
        arguments: &[],
        shows: Shows::Lifetime,
    },
];

/// Tries each limit; the errors name what could not be tried.
pub(super) async fn table(options: &Options, certificate: &FilePath) -> (Table, Vec<String>) {
    let wanted = |limit: &&Limit| options.wants(limit.proxy) && !options.is_short;
    let running: Vec<_> = LIMITS
        .iter()
        .filter(wanted)
        .map(|limit| {
            let (limit, is_shown, certificate) = (*limit, options.is_shown, certificate.to_owned());
            (
                limit,
                tokio::spawn(async move { limit.seen(is_shown, &certificate).await }),
            )
        })
        .collect();
    let mut table = Table::new(["proxy", "setting", "default", "tried with", "seen"]);
    let mut errors = Vec::new();
    for (limit, seen) in running {
        match seen.await.expect("a trial does not panic") {
            Ok(seen) => table.row([
                limit.proxy,
                limit.setting,
                limit.default,
                limit.tried,
                &seen,
            ]),
            Err(error) => errors.push(error),
        }
    }
    (table, errors)
}

impl Limit {
    fn kind(&self) -> Kind {
        let found = KINDS.into_iter().find(|kind| kind.name == self.proxy);
        found.expect("each limit is one of a proxy of the list")
    }

    async fn seen(&self, is_shown: bool, certificate: &FilePath) -> Result<String, String> {
        let kind = self.kind();
        let text = kind.text(&root().join("world/proxies/usual"))?;
        let (before, with) = self.change;
        let text = match before {
            "" => text,
            before if text.contains(before) => text.replacen(before, with, 1),
            before => return Err(format!("{} has no {before:?}", kind.file)),
        };
        let letters = self.setting.chars().filter(char::is_ascii_lowercase);
        let name = format!("{}-{}", kind.name, letters.collect::<String>());
        let home = Folder::new(&format!("{name}-server")).map_err(|error| error.to_string())?;
        let server = origin::start(&home.0.join("log.sqlite"), 0).await;
        let port = server
            .addr()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_default();
        let proxy = Proxy::start(kind, &name, &text, self.arguments, port, certificate).await?;
        let mut words = Vec::new();
        for door in [Some(proxy.http1()), proxy.http2()].into_iter().flatten() {
            let label = if is_shown {
                name.clone()
            } else {
                String::new()
            };
            let path = Path {
                door,
                server: server.addr().to_owned(),
                label,
            };
            words.push(match self.shows {
                Shows::Lifetime => trial::lifetime(&path).await,
                Shows::Count => trial::last_of(&path, STREAMS).await,
            });
        }
        proxy.stop().await;
        Ok(both(&words[0], words.get(1).map(String::as_str)))
    }
}
