//! [`Reader`]: curl as the client, over HTTP/1.1 or HTTP/2, whose output is timed as it comes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::table::root;

/// Where a proxy is reached with one of the protocols.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// The part of the URL before the path: `http://127.0.0.1:8080`.
    pub(super) url: String,
    /// The options of curl that choose the protocol.
    pub(super) options: &'static [&'static str],
}

/// How a stream ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    /// curl's exit status.
    Error(i32),
    /// It was still open at the deadline.
    Open,
}

/// A client that is reading.
#[derive(Debug)]
pub(super) struct Reader {
    child: Child,
    lines: BufReader<ChildStdout>,
    line: Vec<u8>,
    opened: Instant,
}

impl Reader {
    /// Asks for a path; `options` are further ones of curl.
    pub(super) fn open(door: &Door, path: &str, options: &[&str]) -> Self {
        let mut child = Command::new("curl")
            .args(["-q", "-sNik", "--noproxy", "*"])
            .args(["-H", "Accept: text/event-stream"])
            .args(door.options)
            .args(options)
            .arg(format!("{}{path}", door.url))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("curl was there before");
        let output = child.stdout.take().expect("stdout is piped");
        Self {
            child,
            lines: BufReader::new(output),
            line: Vec::new(),
            opened: Instant::now(),
        }
    }

    /// The status and the fields of the answer, each with its name in small letters.
    pub(super) async fn head(&mut self) -> Option<Vec<String>> {
        let mut head = Vec::new();
        loop {
            let line = self.line(Duration::from_secs(20)).await?;
            match line.trim_end() {
                "" => return Some(head),
                line => head.push(line.to_ascii_lowercase()),
            }
        }
    }

    /// The next line with its end; `None` if the stream is over or silent for this time.
    pub(super) async fn line(&mut self, patience: Duration) -> Option<String> {
        let read = self.lines.read_until(b'\n', &mut self.line);
        let bytes = timeout(patience, read).await.ok()?.ok()?;
        // The buffer outlives a read that was given up, so that nothing is lost.
        let line = String::from_utf8_lossy(&self.line).into_owned();
        if bytes > 0 || !line.is_empty() {
            self.line.clear();
            return Some(line);
        }
        None
    }

    /// The next line with this prefix, without its end.
    pub(super) async fn line_with(&mut self, start: &str, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.line(left).await?;
            if line.starts_with(start) {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// How long ago the client was started.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Lets the client leave: its process is killed, and the system closes its connection.
    pub(super) async fn leave(mut self) {
        // It may have ended before.
        let _ = self.child.kill().await;
    }

    /// Reads on to the end, for at most so long; the lines that came, and how it ended.
    pub(super) async fn rest(mut self, patience: Duration) -> (Vec<String>, End) {
        let deadline = Instant::now() + patience;
        let mut lines = Vec::new();
        while let Some(line) = self
            .line(deadline.saturating_duration_since(Instant::now()))
            .await
        {
            lines.push(line.trim_end().to_owned());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let end = match timeout(left.max(Duration::from_millis(500)), self.child.wait()).await {
            Err(_) | Ok(Err(_)) => End::Open,
            Ok(Ok(status)) => match status.code() {
                Some(0) => End::Clean,
                code => End::Error(code.unwrap_or(-1)),
            },
        };
        (lines, end)
    }
}

/// A client that has reset its stream of HTTP/2, and keeps its connection until it is dropped.
#[derive(Debug)]
pub(super) struct Reset {
    _child: Child,
}

impl Reset {
    /// Reads for a second and resets; `None` if it could not.
    pub(super) async fn after_a_second(door: &Door, path: &str) -> Option<Self> {
        let mut child = Command::new("node")
            .arg(root().join("world/proxies/reset.mjs"))
            .args([door.url.as_str(), path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take()?);
        let read = output.read_line(&mut line);
        timeout(Duration::from_secs(20), read).await.ok()?.ok()?;
        (line.trim() == "reset").then_some(Self { _child: child })
    }
}

/// The body of a small answer from the server itself; with a body the request is a POST.
pub(super) async fn ask(address: &str, path: &str, body: Option<&str>) -> Option<String> {
    let method = body.map_or("GET", |_| "POST");
    let body = body.unwrap_or_default();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let exchange = async {
        let mut socket = TcpStream::connect(address).await.ok()?;
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    };
    timeout(Duration::from_secs(20), exchange).await.ok()?
}
