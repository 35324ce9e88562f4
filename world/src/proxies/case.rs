//! [`Case`]: one proxy with one configuration, and everything that is tried through it: a row of the table.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_testkit::Program;
use tokio::sync::oneshot;

use super::kinds::Kind;
use super::origin;
use super::proxy::{Folder, Proxy};
use super::reader::Door;
use super::trial::{self, Path};
use super::words::both;
use crate::table::root;

/// The head of the table; [`Case::row`] has a cell for each.
pub(super) const HEAD: [&str; 12] = [
    "proxy",
    "first byte",
    "each event",
    "keep-alive each 1 s",
    "client leaves while events come",
    "client leaves in silence",
    "HTTP/2 stream reset in silence",
    "server killed",
    "server drained",
    "2,000 events behind",
    "compression on",
    "server away",
];

/// How long a trial waits until the server knows that a client has left.
const LEAVER: Duration = Duration::from_secs(50);

#[derive(Debug)]
pub(super) struct Case {
    pub(super) kind: Kind,
    /// `usual` or `recommended`.
    pub(super) folder: &'static str,
    pub(super) version: String,
    pub(super) certificate: PathBuf,
    /// Whether figures are printed.
    pub(super) is_shown: bool,
}

/// What was seen through one door.
#[derive(Debug, Default)]
struct Seen {
    open: Vec<String>,
    killed: String,
    drained: String,
    compression: String,
    gone: String,
}

impl Case {
    /// Runs all trials; the error names what could not be started.
    pub(super) async fn row(&self) -> Result<Vec<String>, String> {
        let text = self
            .kind
            .text(&root().join("world/proxies").join(self.folder))?;
        let name = format!("{}-{}", self.kind.name, self.folder);
        let home = Folder::new(&format!("{name}-server")).map_err(|error| error.to_string())?;
        let database = home.0.join("log.sqlite");
        let server = origin::start(&database, 0).await;
        let proxy = self.start(&name, &text, &server).await?;
        let (http1, http2) = (proxy.http1(), proxy.http2());
        let path = |door| self.path(door, &server, &name);
        let paths: Vec<Path> = [Some(http1), http2]
            .into_iter()
            .flatten()
            .map(path)
            .collect();
        let (open, compression) = tokio::join!(
            join(paths.iter().map(while_open)),
            self.compress(&name, &text, &server),
        );
        let mut compression = compression?.into_iter();
        let seen = |open| Seen {
            open,
            compression: compression.next().unwrap_or_else(|| "has none".to_owned()),
            ..Seen::default()
        };
        let mut seen: Vec<Seen> = open.into_iter().map(seen).collect();
        let server = drain(&paths, server, &database, &mut seen).await;
        kill(&paths, server, &mut seen).await;
        proxy.stop().await;
        Ok(self.cells(&seen))
    }

    fn path(&self, door: Door, server: &Program, name: &str) -> Path {
        let label = match self.is_shown {
            true => format!("{name} {}", door.options.concat()),
            false => String::new(),
        };
        let server = server.addr().to_owned();
        Path {
            door,
            server,
            label,
        }
    }

    async fn start(&self, name: &str, text: &str, server: &Program) -> Result<Proxy, String> {
        let port = server
            .addr()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_default();
        Proxy::start(self.kind, name, text, &[], port, &self.certificate).await
    }

    /// Another proxy, which compresses: a word for each of its doors.
    async fn compress(
        &self,
        name: &str,
        text: &str,
        server: &Program,
    ) -> Result<Vec<String>, String> {
        let Some(text) = self.kind.compressing(text) else {
            return Ok(Vec::new());
        };
        let proxy = self.start(&format!("{name}-gzip"), &text, server).await?;
        let mut words = Vec::new();
        for door in [Some(proxy.http1()), proxy.http2()].into_iter().flatten() {
            let path = self.path(door, server, &format!("{name}, gzip"));
            words.push(trial::compression(&path).await);
        }
        proxy.stop().await;
        Ok(words)
    }

    fn cells(&self, seen: &[Seen]) -> Vec<String> {
        let name = format!("{} {}, {}", self.kind.name, self.version, self.folder);
        let cell = |word: &dyn Fn(&Seen) -> String| {
            let words: Vec<String> = seen.iter().map(word).collect();
            both(&words[0], words.get(1).map(String::as_str))
        };
        let mut cells = vec![name];
        cells.extend((0..5).map(|at| cell(&|seen| seen.open[at].clone())));
        // HTTP/1.1 has no such thing.
        cells.push(
            seen.last()
                .map_or_else(String::new, |seen| seen.open[5].clone()),
        );
        cells.push(cell(&|seen| seen.killed.clone()));
        cells.push(cell(&|seen| seen.drained.clone()));
        cells.push(cell(&|seen| seen.open[6].clone()));
        cells.push(cell(&|seen| seen.compression.clone()));
        cells.push(cell(&|seen| seen.gone.clone()));
        cells
    }
}

/// What is tried while the server runs, in the order of the table.
async fn while_open(path: &Path) -> Vec<String> {
    let timed = async {
        (
            trial::first_byte(path).await,
            trial::events(path, 0, &[]).await,
            trial::keep_alive(path).await,
            trial::backlog(path, &[], 3).await,
        )
    };
    let ((first, events, keep_alive, backlog), leaves_events, leaves_silence, resets) = tokio::join!(
        timed,
        trial::leaves_events(path, LEAVER),
        trial::leaves_silence(path, LEAVER),
        trial::resets(path, LEAVER),
    );
    vec![
        first,
        events,
        keep_alive,
        leaves_events,
        leaves_silence,
        resets,
        backlog,
    ]
}

/// Awaits both at the same time: a proxy has two doors at most.
async fn join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures = futures;
    match (futures.next(), futures.next()) {
        (Some(first), Some(second)) => {
            let (first, second) = tokio::join!(first, second);
            vec![first, second]
        }
        (Some(first), None) => vec![first.await],
        _ => Vec::new(),
    }
}

/// Asks the server to stop while clients read, and starts another on the same log and port.
async fn drain(
    paths: &[Path],
    mut server: Program,
    database: &std::path::Path,
    seen: &mut [Seen],
) -> Program {
    let (tell, ready): (Vec<_>, Vec<_>) = paths.iter().map(|_| oneshot::channel()).unzip();
    let reading = join(
        paths
            .iter()
            .zip(tell)
            .map(|(path, tell)| trial::reads_until_drained(path, tell)),
    );
    let port = server
        .addr()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let stopping = async {
        for ready in ready {
            // A reader that has given up has no more to wait for.
            let _ = ready.await;
        }
        server.terminate().await;
        server.wait_exit(Duration::from_secs(20)).await;
    };
    let (drained, ()) = tokio::join!(reading, stopping);
    let server = origin::start(database, port.unwrap_or_default()).await;
    for ((path, drained), seen) in paths.iter().zip(drained).zip(seen) {
        seen.drained = trial::comes_back(path, drained).await;
    }
    server
}

/// Kills the server while clients read, and asks once more.
async fn kill(paths: &[Path], mut server: Program, seen: &mut [Seen]) {
    let (tell, ready): (Vec<_>, Vec<_>) = paths.iter().map(|_| oneshot::channel()).unzip();
    let reading = join(
        paths
            .iter()
            .zip(tell)
            .map(|(path, tell)| trial::reads_until_killed(path, tell)),
    );
    let killing = async {
        for ready in ready {
            let _ = ready.await;
        }
        server.signal("KILL").await;
        server.wait_exit(Duration::from_secs(20)).await;
    };
    let (killed, ()) = tokio::join!(reading, killing);
    for ((path, killed), seen) in paths.iter().zip(killed).zip(seen) {
        seen.killed = killed;
        seen.gone = trial::server_gone(path).await;
    }
}
