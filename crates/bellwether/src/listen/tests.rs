//! Connections over an in-process socket, with time paused: deadlines pass at once and exactly.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get as axum_get, post};
use bellwether_wire::ServerSentEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::*;
use crate::admission::{Admission, Permit};
use crate::lifecycle::CloseReason;

const SECOND: Duration = Duration::from_secs(1);

/// A server without a listener.
struct Bench {
    shared: Arc<ServerContext>,
    drain: Drain,
}

impl Bench {
    fn new(router: Router) -> Self {
        Self::with(router, Limits::default())
    }

    fn with(router: Router, limits: Limits) -> Self {
        let server = Server {
            probes: Vec::new(),
            router,
            lifecycle: Lifecycle::new(),
            limits,
            timeouts: Timeouts::default(),
            drain: Drain::default(),
        };
        Self {
            drain: server.drain,
            shared: Arc::new_cyclic(|shared| server.share(shared.clone())),
        }
    }

    fn permit(&self) -> Permit {
        match self.shared.permits.admit(None) {
            Admission::Serve(permit) => permit,
            refused => panic!("expected a permit, found {refused:?}"),
        }
    }

    /// A client whose socket takes `buffer` bytes in each direction.
    fn connect(&self, buffer: usize) -> DuplexStream {
        let (client, server) = tokio::io::duplex(buffer);
        let shared = Arc::clone(&self.shared);
        let connection = Connection::new(shared, server.into(), None, self.permit(), None);
        let lifecycle = &self.shared.lifecycle;
        lifecycle.tracker().spawn(lifecycle.scope(connection));
        client
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.shared.lifecycle.streams().counts().closed(reason)
    }

    /// Stops as a signal does.
    async fn stop(&self) -> DrainReport {
        self.shared.lifecycle.begin_stop(self.drain.window);
        finish(&self.shared, self.drain).await
    }
}

fn hello() -> Router {
    Router::new().route("/", axum_get(|| async { "hello" }))
}

/// A route that streams what the test sends.
fn feed() -> (Router, mpsc::Sender<&'static str>) {
    let (sender, receiver) = mpsc::channel::<&'static str>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let route = crate::get(move || {
        let receiver = Arc::clone(&receiver);
        async_stream::stream!(while let Some(text) = receiver.lock().await.recv().await {
            yield ServerSentEvent::text(text);
        })
    });
    (Router::new().route("/", route), sender)
}

/// A route that streams without a pause.
fn flood() -> Router {
    let route = crate::get(|| {
        async_stream::stream!(loop {
            yield ServerSentEvent::text("x".repeat(1000));
        })
    });
    Router::new().route("/", route)
}

/// How long `future` took, on the paused clock.
async fn time(future: impl Future) -> Duration {
    let began = Instant::now();
    future.await;
    began.elapsed()
}

/// The rest of what the server sends, until it closes.
async fn rest(client: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    // A connection that was cut may end with an error; what came before counts.
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

/// Reads until the text has come.
async fn read_until(client: &mut DuplexStream, text: &str) -> String {
    let mut seen = String::new();
    let mut space = [0; 4096];
    while !seen.contains(text) {
        let count = client.read(&mut space).await.unwrap();
        assert_ne!(count, 0, "closed before {text:?}: {seen}");
        seen.push_str(std::str::from_utf8(&space[..count]).unwrap());
    }
    seen
}

async fn ask(client: &mut DuplexStream) {
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_at_the_head_deadline() {
    let bench = Bench::new(hello());
    let mut client = bench.connect(1024);
    assert_eq!(time(rest(&mut client)).await.as_secs(), 10);
    assert_eq!(bench.shared.permits.free(), bench.shared.permits.total());
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_is_closed_at_the_head_deadline() {
    let bench = Bench::new(hello());
    let mut client = bench.connect(1024);
    client.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    assert_eq!(time(rest(&mut client)).await.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_dripped_head_is_closed_at_the_head_deadline() {
    let bench = Bench::new(hello());
    let mut client = bench.connect(1024);
    let drip = async {
        for byte in "GET / HTTP/1.1\r\nx-slow: "
            .bytes()
            .chain(std::iter::repeat(b'x'))
        {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(SECOND).await;
        }
    };
    // The drip after the close is the one that fails.
    assert!((10..=11).contains(&time(drip).await.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_a_minute_after_its_answer() {
    let bench = Bench::new(hello());
    let mut client = bench.connect(1024);
    tokio::time::sleep(SECOND * 5).await;
    ask(&mut client).await;
    read_until(&mut client, "hello").await;
    assert_eq!(time(rest(&mut client)).await.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_own_ten_seconds() {
    let bench = Bench::new(hello());
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    read_until(&mut client, "hello").await;
    tokio::time::sleep(SECOND * 59).await;
    client.write_all(b"GET / HT").await.unwrap();
    tokio::time::sleep(SECOND * 9).await;
    client
        .write_all(b"TP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut client, "hello").await;
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(time(rest(&mut client)).await.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_events_has_no_deadline() {
    let (router, events) = feed();
    let bench = Bench::new(router);
    let mut client = bench.connect(64 * 1024);
    ask(&mut client).await;
    read_until(&mut client, "text/event-stream").await;
    tokio::time::sleep(SECOND * 3600 * 24 / 100).await;
    events.send("late").await.unwrap();
    read_until(&mut client, "data: late\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_ends_as_too_slow() {
    let bench = Bench::new(flood());
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    read_until(&mut client, "data: ").await;
    let stalled = async {
        while bench.closed(CloseReason::TooSlow) == 0 {
            tokio::time::sleep(SECOND / 10).await;
        }
    };
    assert_eq!(time(stalled).await.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_a_little_in_time_stays() {
    let bench = Bench::new(flood());
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    for _ in 0..20 {
        tokio::time::sleep(SECOND * 29).await;
        assert_ne!(client.read(&mut [0; 64]).await.unwrap(), 0);
    }
    assert_eq!(bench.shared.lifecycle.streams().open(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_stops_is_answered_with_408() {
    let echo = Router::new().route("/", post(|body: Bytes| async move { body }));
    let bench = Bench::new(echo);
    let mut client = bench.connect(1024);
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab";
    client.write_all(head).await.unwrap();
    let mut answer = String::new();
    let waited = time(async { answer = rest(&mut client).await }).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(waited.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_may_take_long_as_a_whole() {
    let echo = Router::new().route("/", post(|body: Bytes| async move { body }));
    let bench = Bench::new(echo);
    let mut client = bench.connect(1024);
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n";
    client.write_all(head).await.unwrap();
    for byte in b"slow" {
        tokio::time::sleep(SECOND * 9).await;
        client.write_all(&[*byte]).await.unwrap();
    }
    assert!(
        read_until(&mut client, "slow")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_long_for_its_answer() {
    let slow = Router::new().route(
        "/",
        axum_get(|| async {
            tokio::time::sleep(SECOND * 600).await;
            "done"
        }),
    );
    let bench = Bench::new(slow);
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    read_until(&mut client, "done").await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_silent_and_idle_connections_at_once() {
    let bench = Bench::new(hello());
    let mut silent = bench.connect(1024);
    let mut idle = bench.connect(1024);
    ask(&mut idle).await;
    read_until(&mut idle, "hello").await;
    let report = bench.stop().await;
    assert_eq!(report, DrainReport { ended: 0, cut: 0 });
    assert_eq!(
        (rest(&mut silent).await, rest(&mut idle).await),
        (String::new(), String::new())
    );
    assert!(bench.shared.lifecycle.plan().unwrap().began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_an_answer_that_is_under_way() {
    let slow = Router::new().route(
        "/",
        axum_get(|| async {
            tokio::time::sleep(SECOND * 5).await;
            "done"
        }),
    );
    let bench = Bench::new(slow);
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(time(bench.stop()).await.as_secs(), 4);
    let answer = rest(&mut client).await;
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("done"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_ignores_the_stop_is_cut_at_the_deadline() {
    let endless = Router::new().route(
        "/",
        axum_get(|| async {
            Body::from_stream(async_stream::stream!(
                yield Ok::<_, std::io::Error>("begun");
                std::future::pending::<()>().await;
            ))
        }),
    );
    let bench = Bench::new(endless);
    let mut client = bench.connect(1024);
    ask(&mut client).await;
    read_until(&mut client, "begun").await;
    assert_eq!(time(bench.stop()).await.as_secs(), 15);
    assert_eq!(rest(&mut client).await, "");
    assert!(bench.shared.lifecycle.tracker().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_keeps_its_place_and_is_cut_at_the_deadline() {
    let (closed, mut was_closed) = mpsc::channel::<()>(1);
    let upgrade = move |mut request: axum::extract::Request| {
        let closed = closed.clone();
        async move {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
                io.write_all(b"other protocol").await.unwrap();
                let mut space = [0; 16];
                // Ends with the error of the cut.
                while io.read(&mut space).await.is_ok_and(|count| count > 0) {}
                closed.send(()).await.unwrap();
            });
            http::Response::builder()
                .status(101)
                .header("connection", "upgrade")
                .header("upgrade", "other")
                .body(Body::empty())
                .unwrap()
        }
    };
    let bench = Bench::new(Router::new().route("/", axum_get(upgrade)));
    let mut client = bench.connect(1024);
    let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    client.write_all(head).await.unwrap();
    read_until(&mut client, "other protocol").await;
    tokio::time::sleep(SECOND * 3600).await;
    assert_eq!(
        bench.shared.permits.free() + 1,
        bench.shared.permits.total()
    );
    assert_eq!(time(bench.stop()).await.as_secs(), 15);
    assert_eq!(was_closed.recv().await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn the_task_of_an_idle_stream_is_small() {
    let bench = Bench::new(hello());
    let (_client, server) = tokio::io::duplex(64);
    let shared = Arc::clone(&bench.shared);
    let connection = Connection::new(shared, server.into(), None, bench.permit(), None);
    let bytes = std::mem::size_of_val(&bench.shared.lifecycle.scope(connection));
    assert!(bytes <= 1536, "the task takes {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_server_on_a_port_stops_when_told() {
    let lifecycle = Lifecycle::new();
    let server = Server {
        probes: Vec::new(),
        router: hello(),
        lifecycle: lifecycle.clone(),
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        drain: Drain::default(),
    };
    let listener = Listener::tcp((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.address().socket_addr().unwrap();
    let running = tokio::spawn(server.run(listener));
    lifecycle.begin_stop(SECOND);
    assert_eq!(running.await.unwrap(), DrainReport { ended: 0, cut: 0 });
    // The listener is closed.
    assert!(std::net::TcpStream::connect(address).is_err());
}
