//! What the tests in a real browser share: a page that writes down what its streams do, and the
//! server behind it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::response::Html;
use bellwether::{Application, Listener, Running, get};
use bellwether_testkit::{Browser, Tab, or_skip};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The page. `watch(path, …names)` opens a stream and records what happens to it:
///
/// - `log`: `open`, `message`, the names, and `error 0` (reconnecting) or `error 2` (closed for good), in their order;
/// - `seen`: the events as `[name, data, lastEventId]`;
/// - `lostAt` and `openAt`: when the browser noticed the last end and the last opening, in milliseconds.
const PAGE: &str = r"<!doctype html><title>watch</title><script>
function watch(path, ...names) {
  const source = new EventSource(path);
  const watch = { source, log: [], seen: [] };
  const see = (event) => {
    watch.log.push(event.type);
    watch.seen.push([event.type, event.data, event.lastEventId]);
  };
  for (const name of ['message', ...names]) source.addEventListener(name, see);
  source.onopen = (event) => {
    watch.log.push('open');
    watch.openAt = event.timeStamp;
  };
  source.onerror = (event) => {
    watch.log.push(`error ${source.readyState}`);
    watch.lostAt = event.timeStamp;
  };
  return watch;
}
</script>";

/// Fetches `/events` in whatever page runs it; `read.raw` is what has come, `read.end` how it ended.
pub(crate) const READ: &str = r"globalThis.read = { raw: '', end: null };
fetch('/events', { headers: { accept: 'text/event-stream' } })
  .then(async (response) => {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      read.raw += decoder.decode(value, { stream: true });
    }
    read.end = 'clean';
  })
  .catch((error) => { read.end = String(error); });
null";

/// A browser; without one the test ends here, skipped or failed.
pub(crate) async fn browser() -> Option<Browser> {
    or_skip(Browser::start().await)
}

/// Serves the application and, at `/`, the page.
pub(crate) async fn serve_at(address: &str, application: Application) -> (Running, String) {
    let listener = Listener::tcp(address).await.expect("the address is free");
    let running = application
        .route(("/", get(async || Html(PAGE))))
        .start(listener)
        .await
        .expect("the application starts");
    let address = running.address().socket_addr().expect("a TCP address");
    (running, address.to_string())
}

/// As [`serve_at`], on a free port.
pub(crate) async fn serve(application: Application) -> (Running, String) {
    serve_at("127.0.0.1:0", application).await
}

/// Opens the page.
pub(crate) async fn page(browser: &Browser, address: &str) -> Tab {
    browser.open(&format!("http://{address}/")).await
}

/// The browser's list of strings.
pub(crate) async fn strings(tab: &Tab, expression: &str) -> Vec<String> {
    let Value::Array(values) = tab.eval(expression).await else {
        panic!("{expression} is no list");
    };
    let text = |value: Value| value.as_str().expect("a string").to_owned();
    values.into_iter().map(text).collect()
}

/// The browser's number.
pub(crate) async fn number(tab: &Tab, expression: &str) -> f64 {
    let value = tab.eval(expression).await;
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{expression} is {value}, no number"))
}

/// A proxy between browsers and a server that records what the server sends, framing included.
#[derive(Clone)]
pub(crate) struct Tap {
    pub(crate) address: String,
    /// What has come on each connection; locked for an append or a read.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    /// Listens on a free port and passes everything on to `server`, as long as the test lasts.
    pub(crate) async fn before(server: impl Into<String>) -> Self {
        let server = server.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let tap = Self {
            address,
            heard: Arc::default(),
        };
        let this = tap.clone();
        tokio::spawn(async move {
            while let Ok((browser, _)) = listener.accept().await {
                // A server that is down is felt as a connection that closes at once.
                if let Ok(server) = TcpStream::connect(&server).await {
                    tokio::spawn(this.clone().pass_on(browser, server));
                }
            }
        });
        tap
    }

    async fn pass_on(self, browser: TcpStream, server: TcpStream) -> io::Result<()> {
        let (mut from_browser, mut to_browser) = browser.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_browser, &mut to_server).await });
        let connection = {
            let mut heard = self.heard();
            heard.push(Vec::new());
            heard.len() - 1
        };
        let mut buffer = vec![0; 8 * 1024];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 {
                return to_browser.shutdown().await;
            }
            // Kept before it is passed on: what a page has seen is always here.
            self.heard()[connection].extend_from_slice(&buffer[..length]);
            to_browser.write_all(&buffer[..length]).await?;
        }
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.heard
            .lock()
            .expect("nothing panics while it holds the bytes")
    }

    /// The event streams so far, each from its head to its last byte.
    pub(crate) fn streams(&self) -> Vec<String> {
        let heard = self.heard();
        let texts = heard
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts
            .filter_map(|text| {
                Some(text[text.find("content-type: text/event-stream")?..].to_owned())
            })
            .collect()
    }
}
