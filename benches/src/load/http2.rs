//! The readers of one topic as streams of HTTP/2 connections, and the publisher beside them.
//!
//! Connections begin with the preface and no negotiation ("prior knowledge", RFC 9113, section
//! 3.3). All of it runs on this thread, and only while something is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Method, Request};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::numbered::{self, Numbered};
use crate::Result;

/// What a browser lets a server send ahead, on a stream and on a connection: as Chrome has them.
const STREAM_WINDOW: u32 = 6 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 15 * 1024 * 1024;

/// The time that an event has to reach all readers.
const GRACE: Duration = Duration::from_secs(10);

/// Readers of one topic.
#[derive(Debug)]
pub(crate) struct Streams {
    runtime: Runtime,
    server: SocketAddr,
    publisher: SendRequest<Bytes>,
    arrivals: Arc<Arrivals>,
    readers: u64,
    /// The number of the next event, and the size of its data.
    next: u64,
    size: usize,
}

/// What the readers have, together.
#[derive(Debug, Default)]
struct Arrivals {
    events: AtomicU64,
    /// The count that is waited for.
    wanted: AtomicU64,
    reached: Notify,
    /// What was wrong first; guards nothing else.
    fault: Mutex<Option<String>>,
}

impl Streams {
    /// Opens these connections with this many streams each, and waits for every response head.
    pub(crate) fn open(
        server: SocketAddr,
        connections: u64,
        each: u64,
        size: usize,
        time: Duration,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let arrivals = Arc::new(Arrivals::default());
        let open = async {
            for _ in 0..connections {
                let mut connection = connect(server).await?;
                for _ in 0..each {
                    let body = subscribe(&mut connection, server).await?;
                    let arrivals = Arc::clone(&arrivals);
                    // It ends with the runtime, whose end is that of the run.
                    tokio::spawn(async move {
                        let error = read(body, size, &arrivals).await;
                        arrivals.fail(&error);
                    });
                }
            }
            connect(server).await
        };
        // The clock of the time limit is the runtime's.
        let publisher = runtime.block_on(async { timeout(time, open).await })??;
        Ok(Self {
            runtime,
            server,
            publisher,
            arrivals,
            readers: connections * each,
            next: 0,
            size,
        })
    }

    /// Publishes this many events, or as many as the time allows, each when all readers have the
    /// one before; the number of deliveries.
    ///
    /// # Errors
    ///
    /// An event is missing, comes twice, is not ours or does not come, or a stream ends.
    pub(crate) fn publish(&mut self, events: u64, time: Duration) -> Result<u64> {
        let end = Instant::now() + time;
        let mut deliveries = 0;
        for _ in 0..events {
            if Instant::now() > end {
                break;
            }
            let data = numbered::payload(self.next, self.size);
            self.next += 1;
            let wanted = self.next * self.readers;
            self.arrivals.wanted.store(wanted, Ordering::Relaxed);
            let deliver = async {
                post(&mut self.publisher, self.server, data.into()).await?;
                self.arrivals.all(wanted).await
            };
            let arrived = self
                .runtime
                .block_on(async { timeout(GRACE, deliver).await });
            arrived.map_err(|_| "an event did not reach all readers in time")??;
            deliveries += self.readers;
        }
        Ok(deliveries)
    }
}

impl Arrivals {
    fn note(&self, events: u64) {
        let events = self.events.fetch_add(events, Ordering::Relaxed) + events;
        if events >= self.wanted.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
    }

    fn fail(&self, error: &str) {
        if let Ok(mut fault) = self.fault.lock() {
            fault.get_or_insert_with(|| error.to_owned());
        }
        self.reached.notify_one();
    }

    /// Waits until this many events have come.
    async fn all(&self, wanted: u64) -> Result<()> {
        loop {
            if let Some(fault) = self.fault.lock().ok().and_then(|fault| fault.clone()) {
                return Err(fault.into());
            }
            if self.events.load(Ordering::Relaxed) >= wanted {
                return Ok(());
            }
            self.reached.notified().await;
        }
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(socket)
        .await?;
    // Its end shows in every stream on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Opens one stream; its body once the head is there.
async fn subscribe(client: &mut SendRequest<Bytes>, server: SocketAddr) -> Result<RecvStream> {
    let request = Request::get(format!("http://{server}/events"))
        .header("accept", "text/event-stream")
        .header("cache-control", "no-cache")
        .body(())?;
    let mut client = client.clone().ready().await?;
    let (response, _) = client.send_request(request, true)?;
    let response = response.await?;
    let is_stream = response
        .headers()
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !response.status().is_success() || !is_stream {
        return Err(format!("no event stream: {response:?}").into());
    }
    Ok(response.into_body())
}

/// Reads a stream until something is wrong with it, and returns what.
async fn read(mut body: RecvStream, size: usize, arrivals: &Arrivals) -> String {
    let mut numbered = Numbered::of_body(0, size);
    while let Some(data) = body.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => return error.to_string(),
        };
        if let Err(error) = body.flow_control().release_capacity(data.len()) {
            return error.to_string();
        }
        let mut events = 0;
        if let Err(error) = numbered.take(&data, |_| events += 1) {
            return error;
        }
        let faults = numbered.faults();
        if faults.any() {
            return faults.to_string();
        }
        if events > 0 {
            arrivals.note(events);
        }
    }
    "a stream was closed".to_owned()
}

/// Publishes one event, and waits until it is answered.
async fn post(client: &mut SendRequest<Bytes>, server: SocketAddr, data: Bytes) -> Result<()> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{server}/publish"))
        .header("content-type", "text/plain")
        .body(())?;
    let mut ready = client.clone().ready().await?;
    let (response, mut body) = ready.send_request(request, false)?;
    body.send_data(data, true)?;
    let status = response.await?.status();
    if !status.is_success() {
        return Err(format!("an event was refused: {status}").into());
    }
    Ok(())
}
