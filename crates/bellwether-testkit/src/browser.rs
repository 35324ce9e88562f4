//! A real browser, driven from a test through `tests/browser/driver.mjs`.
//!
//! The driver is a Node program that starts the system's Chromium without a window; this side sends it commands as
//! lines of JSON. The driver's file lists them.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::deadline::within;

/// The time that the browser has to start, and to answer: a machine with two busy cores is slow.
const SLOW: Duration = Duration::from_secs(60);

/// Chromium with a fresh profile. It closes when this value and its tabs are dropped, and when the test ends.
///
/// All tabs of one value share cookies and connection limits, as the tabs of one window do.
#[derive(Debug)]
pub struct Browser {
    driver: Arc<Driver>,
    version: String,
}

/// Why there is no browser: Node, Chromium or playwright-core is missing, or does not start.
///
/// [`or_skip`](crate::or_skip) turns it into a skipped or a failed test.
#[derive(Debug)]
pub struct BrowserError(String);

impl fmt::Display for BrowserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no browser: {}", self.0)
    }
}

impl std::error::Error for BrowserError {}

impl Browser {
    /// Starts the browser that the variable `CHROMIUM` names, or else `/usr/bin/chromium`.
    ///
    /// # Errors
    ///
    /// [`BrowserError`] names what is missing and how to get it.
    pub async fn start() -> Result<Self, BrowserError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser");
        let mut child = Command::new("node")
            .arg("driver.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| BrowserError(format!("could not run node: {error}")))?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let mut replies = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();

        let first = match within(SLOW, replies.next_line()).await {
            Some(Ok(Some(line))) => parse(&line),
            Some(_) => {
                let mut said = String::new();
                let _ = within(SLOW, stderr.read_to_string(&mut said)).await;
                return Err(BrowserError(format!(
                    "the driver ended at once: {}",
                    said.trim()
                )));
            }
            None => return Err(BrowserError(format!("it did not start within {SLOW:?}"))),
        };
        if let Some(error) = first["error"].as_str() {
            return Err(BrowserError(error.to_owned()));
        }
        let version = first["value"].as_str().unwrap_or_default().to_owned();

        let driver = Arc::new(Driver {
            stdin: AsyncMutex::new(stdin),
            waiting: Mutex::new(Some(HashMap::new())),
            last_id: AtomicU64::new(0),
        });
        // The driver's stderr must be read: a full pipe would stop it.
        tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        tokio::spawn({
            let driver = Arc::downgrade(&driver);
            async move {
                // The child is reaped here, after its last line.
                deliver(replies, || driver.upgrade()).await;
                let _ = child.wait().await;
            }
        });
        Ok(Self { driver, version })
    }

    /// The version of the browser, for instance `156.0.8078.79`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Opens `url` in a new tab and waits until its document is parsed.
    ///
    /// # Panics
    ///
    /// When the page can't be loaded.
    pub async fn open(&self, url: &str) -> Tab {
        let number = self.driver.call("open", json!({ "url": url }), SLOW).await;
        Tab {
            driver: Arc::clone(&self.driver),
            number,
        }
    }

    /// Closes the browser with all its tabs, and waits until its process has ended.
    ///
    /// # Panics
    ///
    /// When the process does not end.
    pub async fn quit(self) {
        self.driver.call("quit", json!({}), SLOW).await;
    }
}

/// A page in the browser. Dropping it leaves the page open: [`Tab::close`] closes it.
#[derive(Debug)]
pub struct Tab {
    driver: Arc<Driver>,
    number: Value,
}

impl Tab {
    /// The value of a JavaScript expression, as JSON; a promise is awaited, `undefined` is `null`.
    ///
    /// # Panics
    ///
    /// When the expression throws.
    pub async fn eval(&self, expression: &str) -> Value {
        self.call("eval", json!({ "expression": expression }), SLOW)
            .await
    }

    /// Waits until the expression is truthy, for at most 30 seconds, and returns its value.
    ///
    /// An expression that throws counts as not yet true, so it may name what a script sets later.
    ///
    /// # Panics
    ///
    /// At the deadline; the message holds the last value and what the page wrote on its console.
    pub async fn wait_until(&self, expression: &str) -> Value {
        self.wait_until_within(expression, Duration::from_secs(30))
            .await
    }

    /// Like [`Tab::wait_until`], with another deadline.
    ///
    /// # Panics
    ///
    /// As [`Tab::wait_until`] does.
    pub async fn wait_until_within(&self, expression: &str, deadline: Duration) -> Value {
        let timeout_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let what = json!({ "expression": expression, "timeout_ms": timeout_ms });
        self.call("wait", what, deadline + SLOW).await
    }

    /// Writes a picture of the visible part of the page, as PNG.
    ///
    /// # Panics
    ///
    /// When the file can't be written.
    pub async fn screenshot(&self, path: impl Into<PathBuf>) {
        let path = std::path::absolute(path.into()).expect("the path is not empty");
        self.call("screenshot", json!({ "path": path }), SLOW).await;
    }

    /// Closes the page, as a reader closes a tab.
    ///
    /// # Panics
    ///
    /// When the browser has ended.
    pub async fn close(self) {
        self.call("close", json!({}), SLOW).await;
    }

    /// Ends the page's process from one moment to the next, as a crash does.
    ///
    /// # Panics
    ///
    /// When the browser has ended.
    pub async fn crash(self) {
        self.call("crash", json!({}), SLOW).await;
    }

    async fn call(&self, command: &str, mut arguments: Value, deadline: Duration) -> Value {
        arguments["tab"] = self.number.clone();
        self.driver.call(command, arguments, deadline).await
    }
}

/// The running driver. When the last owner drops it, its stdin closes and it quits.
struct Driver {
    stdin: AsyncMutex<ChildStdin>,
    /// The waiters by the number of their command; `None` once the driver has ended.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>,
    last_id: AtomicU64,
}

impl Driver {
    /// Sends a command and awaits its answer.
    async fn call(&self, command: &str, mut line: Value, deadline: Duration) -> Value {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        line["id"] = id.into();
        line["command"] = command.into();
        let (answer, answered) = oneshot::channel();
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.insert(id, answer);
        }
        let exchange = async {
            let bytes = format!("{line}\n");
            // A driver that has ended does not answer, which the next line reports.
            let _ = self.stdin.lock().await.write_all(bytes.as_bytes()).await;
            answered.await
        };
        match within(deadline, exchange).await {
            Some(Ok(mut reply)) => match reply["error"].as_str() {
                Some(error) => panic!("the browser could not {command}: {error}"),
                None => reply["value"].take(),
            },
            Some(Err(_)) => panic!("the browser ended before it answered {line}"),
            None => panic!("waited {deadline:?} for the browser's answer to {line}"),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Value>>>> {
        self.waiting
            .lock()
            .expect("nothing panics while it holds the waiters")
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// Hands each answer to its waiter until the driver ends, and then drops all waiters.
async fn deliver(
    mut replies: Lines<BufReader<ChildStdout>>,
    driver: impl Fn() -> Option<Arc<Driver>>,
) {
    while let Ok(Some(line)) = replies.next_line().await {
        let reply = parse(&line);
        let waiter = driver().and_then(|driver| {
            let id = reply["id"].as_u64()?;
            driver.waiting().as_mut()?.remove(&id)
        });
        if let Some(waiter) = waiter {
            // A test that gave up waiting has panicked already.
            let _ = waiter.send(reply);
        }
    }
    if let Some(driver) = driver() {
        driver.waiting().take();
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("expected JSON from the browser's driver, found {line:?}"))
}
