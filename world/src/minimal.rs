//! A minimal server of event streams, as tutorials show it: what every client should get at least.
//!
//! It sends `id:` and then `data:`, each event in a chunk of its own, and resumes after `Last-Event-ID`. It has no
//! comments but the keep-alive of `/quiet`, no `retry:` but that of `/once`, no gaps and no errors. Its routes are those
//! of [`server`](crate::server) as far as it can have them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::payload::{chat_chunks, message_events, numbered};
use crate::server::{PAGE, RETRY};

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Minimal {
    addr: SocketAddr,
    /// Changes with each publish and each end of all streams; its end ends the server.
    news: watch::Sender<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Held for a read or a change, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: HashMap<String, Vec<String>>,
    /// How often all streams were ended.
    ends: u64,
}

/// What a request asks for.
#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    last_id: Option<usize>,
    body: Vec<u8>,
}

impl Minimal {
    /// Starts it on a port that the system picks.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::<Shared>::default();
        let (news, heard) = watch::channel(());
        tokio::spawn(accept(listener, Arc::clone(&shared), news.clone(), heard));
        Self { addr, news, shared }
    }

    /// Host and port.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends every stream, each as a complete response.
    pub(crate) fn end_streams(&self) {
        self.shared.state().ends += 1;
        self.news.send_replace(());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    news: watch::Sender<()>,
    heard: watch::Receiver<()>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, news, heard) = (Arc::clone(&shared), news.clone(), heard.clone());
        tokio::spawn(async move {
            // A client that leaves in the middle is none of our business.
            let _ = serve(stream, &shared, &news, heard).await;
        });
    }
}

async fn serve(
    stream: TcpStream,
    shared: &Shared,
    news: &watch::Sender<()>,
    heard: watch::Receiver<()>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    let mut stream = stream.into_inner();
    let path = request.path.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path.trim_start_matches('/')) {
        ("GET", "page") => {
            let length = PAGE.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(PAGE.as_bytes()).await
        }
        ("GET", "once") => {
            let retry = RETRY.as_millis();
            let block = format!("retry: {retry}\nid: 1\ndata: {}\n\n", numbered(1));
            one_stream(&mut stream, vec![block]).await
        }
        ("GET", "answer") if request.last_id == Some(3) => {
            let head = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(head).await
        }
        ("GET", "answer") => {
            let block = |number| format!("id: {number}\ndata: {}\n\n", numbered(number));
            one_stream(&mut stream, (1..=3).map(block).collect()).await
        }
        ("POST", "v1/chat/completions") => {
            let chunks = chat_chunks().into_iter().chain(["[DONE]".to_owned()]);
            let blocks = chunks.map(|chunk| format!("data: {chunk}\n\n")).collect();
            one_stream(&mut stream, blocks).await
        }
        ("POST", "v1/messages") => {
            let block = |(name, data)| format!("event: {name}\ndata: {data}\n\n");
            one_stream(
                &mut stream,
                message_events().into_iter().map(block).collect(),
            )
            .await
        }
        ("POST", path) if path.starts_with("publish/") => {
            let texts: Vec<String> = serde_json::from_slice(&request.body).unwrap_or_default();
            let topic = path.trim_start_matches("publish/").to_owned();
            shared
                .state()
                .topics
                .entry(topic)
                .or_default()
                .extend(texts);
            news.send_replace(());
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
        }
        ("GET", path) => match path.split_once('/') {
            Some(("topic", topic)) => follow(stream, shared, heard, topic, &request, None).await,
            Some(("quiet", topic)) => {
                let keep_alive = Some(Duration::from_secs(1));
                follow(stream, shared, heard, topic, &request, keep_alive).await
            }
            _ => not_found(&mut stream).await,
        },
        _ => not_found(&mut stream).await,
    }
}

async fn not_found(stream: &mut TcpStream) -> std::io::Result<()> {
    let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        last_id: None,
        body: Vec::new(),
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "last-event-id" => request.last_id = value.trim().parse().ok(),
            _ => {}
        }
    }
    // The polyfill for old browsers has no header of its own and asks in the query.
    if let Some((_, id)) = request.path.split_once("lastEventId=") {
        request.last_id = request.last_id.or(id.parse().ok());
    }
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    Ok(request)
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";

async fn write_chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(chunk.as_bytes()).await
}

async fn one_stream(stream: &mut TcpStream, blocks: Vec<String>) -> std::io::Result<()> {
    stream.write_all(HEAD).await?;
    for block in blocks {
        write_chunk(stream, &block).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// Sends the texts of a topic behind the client's last id until all streams are ended.
async fn follow(
    mut stream: TcpStream,
    shared: &Shared,
    mut heard: watch::Receiver<()>,
    topic: &str,
    request: &Request,
    keep_alive: Option<Duration>,
) -> std::io::Result<()> {
    let ends = shared.state().ends;
    let mut sent = request.last_id.unwrap_or(0);
    stream.write_all(HEAD).await?;
    loop {
        heard.borrow_and_update();
        let (texts, is_over) = {
            let state = shared.state();
            let all = state.topics.get(topic).map_or(&[][..], Vec::as_slice);
            (
                all.get(sent..).unwrap_or_default().to_vec(),
                state.ends != ends,
            )
        };
        // What is published after the end is for the next connection.
        if is_over {
            return stream.write_all(b"0\r\n\r\n").await;
        }
        for text in texts {
            sent += 1;
            let lines: String = text.lines().map(|line| format!("data: {line}\n")).collect();
            write_chunk(&mut stream, &format!("id: {sent}\n{lines}\n")).await?;
        }
        let patience = keep_alive.unwrap_or(Duration::from_secs(3600));
        match timeout(patience, heard.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => write_chunk(&mut stream, ":\n\n").await?,
        }
    }
}
