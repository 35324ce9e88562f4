//! A scripted HTTP/1 client that shows every byte, since tests check what real clients hide.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_wire::{Decoder, Message};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::chunks::{BodyFraming, Piece, find, next_piece, torn_piece};
use crate::deadline::{TEST_TIMEOUT, within};
use crate::head::Head;

/// How a response body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// As its framing says: the last chunk came, or the announced length, or, where the head
    /// announces neither (HTTP/1.0), the server closed the connection.
    Clean,
    /// The server closed the connection (FIN) before the body was complete.
    Cut,
    /// The server reset the connection (RST) before the body was complete.
    Reset,
}

/// One connection, and what has arrived on it.
///
/// Works over TCP and over anything else that reads and writes, such as a Unix socket
/// ([`RawClient::over`]). Each wait ends after [`TEST_TIMEOUT`] with a panic that names what was awaited
/// and quotes what had arrived. Cancelling a read loses nothing: arrived bytes stay buffered.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use bellwether_testkit::{BodyEnd, RawClient};
/// use tokio::io::AsyncWriteExt;
///
/// let (ours, mut server) = tokio::io::duplex(1024);
/// let mut client = RawClient::over(ours);
/// client.get("/events", &[("last-event-id", "7")]).await;
/// server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
/// drop(server);
///
/// assert_eq!(client.read_head().await.status, 200);
/// assert_eq!(client.read_body_chunk().await.unwrap(), "hi");
/// assert_eq!(client.read_body_chunk().await, Err(BodyEnd::Cut));
/// # });
/// ```
#[derive(Debug)]
pub struct RawClient<S = TcpStream> {
    stream: S,
    /// The value of `Host`.
    host: String,
    /// All bytes that have arrived.
    raw: Vec<u8>,
    /// The bytes that arrived and were not taken yet.
    buffer: BytesMut,
    /// Body bytes that the decoder has yet to see.
    undecoded: Bytes,
    decoder: Decoder,
    /// How the server closed its side, once it has.
    closed: Option<BodyEnd>,
    /// BodyFraming of the body that is being read; `None` before a head.
    framing: Option<BodyFraming>,
    /// How the present body ended, once it has.
    end: Option<BodyEnd>,
    /// A response to `HEAD` announces a body and sends none.
    asked_for_head: bool,
    timeout: Duration,
}

impl RawClient<TcpStream> {
    /// Connects by TCP, without Nagle's delay.
    ///
    /// # Panics
    ///
    /// When no server listens there.
    pub async fn connect(addr: impl ToSocketAddrs) -> Self {
        let stream = match within(TEST_TIMEOUT, TcpStream::connect(addr)).await {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => panic!("could not connect: {error}"),
            None => panic!("waited {TEST_TIMEOUT:?} for a connection"),
        };
        stream
            .set_nodelay(true)
            .expect("a connected socket takes options");
        let host = peer(&stream).to_string();
        Self {
            host,
            ..Self::over(stream)
        }
    }

    /// Connects and sends `GET path`; the head is the next thing to read.
    ///
    /// # Panics
    ///
    /// As [`RawClient::connect`] and [`RawClient::send`] do.
    pub async fn connect_and_get(addr: impl ToSocketAddrs, path: &str) -> Self {
        let mut client = Self::connect(addr).await;
        client.get(path, &[]).await;
        client
    }

    /// The address of the server.
    #[must_use]
    pub fn server_addr(&self) -> SocketAddr {
        peer(&self.stream)
    }

    /// Our own address, by which a server sees this client.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Closes the connection with a reset (RST), as a crashed machine or a closed laptop does.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a connected socket takes options");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawClient<S> {
    /// A client over a stream that is already connected; `Host` is `localhost`.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            host: "localhost".to_owned(),
            raw: Vec::new(),
            buffer: BytesMut::new(),
            undecoded: Bytes::new(),
            decoder: Decoder::new(),
            closed: None,
            framing: None,
            end: None,
            asked_for_head: false,
            timeout: TEST_TIMEOUT,
        }
    }

    /// The same client with another deadline for each wait; the default is [`TEST_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends these bytes as they are.
    ///
    /// # Panics
    ///
    /// When the server has closed the connection, or does not take the bytes in time.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        match within(self.timeout, sent).await {
            Some(Ok(())) => {}
            Some(Err(error)) => panic!("could not send: {error}; {}", self.arrived()),
            None => panic!("waited {:?} to send; {}", self.timeout, self.arrived()),
        }
    }

    /// Sends `GET path HTTP/1.1` with `Host`, `Accept: text/event-stream` and these fields.
    ///
    /// A field given here under the same name takes the position of the default.
    ///
    /// # Panics
    ///
    /// As [`RawClient::send`] does.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) {
        self.request("GET", path, headers).await;
    }

    /// Sends a request head without a body, with the fields of [`RawClient::get`].
    ///
    /// # Panics
    ///
    /// As [`RawClient::send`] does.
    pub async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.asked_for_head = method == "HEAD";
        let host = self.host.clone();
        let defaults = [("host", host.as_str()), ("accept", "text/event-stream")];
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let replaced = |name: &str| {
            headers
                .iter()
                .any(|(field, _)| field.eq_ignore_ascii_case(name))
        };
        let kept = defaults.iter().filter(|(name, _)| !replaced(name));
        for (name, value) in kept.chain(headers) {
            write!(head, "{name}: {value}\r\n").expect("a String takes all text");
        }
        head.push_str("\r\n");
        self.send(head).await;
    }

    /// Reads the head of the next response.
    ///
    /// # Panics
    ///
    /// When the connection ends before the head does, or the bytes are no HTTP/1 head.
    pub async fn read_head(&mut self) -> Head {
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break Head::parse(self.buffer.split_to(at + 4).freeze());
            }
            if let Some(closed) = self.closed {
                panic!(
                    "expected a response head, the connection ended {closed:?}; {}",
                    self.arrived()
                );
            }
            self.fill("a response head").await;
        };
        self.framing = Some(BodyFraming::of(&head, self.asked_for_head));
        self.end = None;
        self.undecoded.clear();
        self.decoder.reconnect();
        head
    }

    /// The next HTTP chunk of the body, whole, or how the body ended.
    ///
    /// A body without chunks comes in the pieces in which it arrives. Of a chunk that is torn by the
    /// end of the connection, the bytes that came are the last piece.
    ///
    /// # Errors
    ///
    /// [`BodyEnd`] once the body has ended, and again on each later call.
    ///
    /// # Panics
    ///
    /// Before [`RawClient::read_head`], or when the bytes break the chunked coding.
    pub async fn read_body_chunk(&mut self) -> Result<Bytes, BodyEnd> {
        loop {
            if let Some(end) = self.end {
                return Err(end);
            }
            let framing = self
                .framing
                .as_mut()
                .expect("the head is read before the body");
            match next_piece(framing, &mut self.buffer) {
                Piece::Data(data) => return Ok(data),
                Piece::End => self.end = Some(BodyEnd::Clean),
                Piece::Wait => match self.closed {
                    None => self.fill("a part of the body").await,
                    Some(BodyEnd::Cut) if *framing == BodyFraming::UntilClose => {
                        self.end = Some(BodyEnd::Clean);
                    }
                    Some(closed) => {
                        self.end = Some(closed);
                        let torn = torn_piece(*framing, &mut self.buffer);
                        if !torn.is_empty() {
                            return Ok(torn);
                        }
                    }
                },
            }
        }
    }

    /// The next event of the body, as an application sees it, or how the body ended.
    ///
    /// An event `bellwether.open` only gives a reader its first id. It is skipped here, and [`RawClient::next_message`]
    /// returns it.
    ///
    /// Comments make no event: [`RawClient::comment_count`] counts them, [`RawClient::raw`] shows them.
    ///
    /// # Errors
    ///
    /// [`BodyEnd`] once the body has ended, and again on each later call.
    ///
    /// # Panics
    ///
    /// As [`RawClient::read_body_chunk`] does, and when an event is beyond the decoder's limits.
    pub async fn next_event(&mut self) -> Result<Message, BodyEnd> {
        loop {
            let message = self.next_message().await?;
            if message.event.as_str() != "bellwether.open" {
                return Ok(message);
            }
        }
    }

    /// The next event of the body whatever its name, or how the body ended.
    ///
    /// # Errors
    ///
    /// As [`RawClient::next_event`].
    ///
    /// # Panics
    ///
    /// As [`RawClient::next_event`] does.
    pub async fn next_message(&mut self) -> Result<Message, BodyEnd> {
        loop {
            let mut input = &self.undecoded[..];
            let decoded = self.decoder.decode(&mut input);
            let used = self.undecoded.len() - input.len();
            self.undecoded.advance(used);
            match decoded {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => self.undecoded = self.read_body_chunk().await?,
                Err(error) => panic!("could not decode an event: {error}; {}", self.arrived()),
            }
        }
    }

    /// The number of comment lines that [`RawClient::next_event`] has skipped.
    #[must_use]
    pub fn comment_count(&self) -> u64 {
        self.decoder.comment_count()
    }

    /// The rest of the body, without its chunk framing, and how it ended.
    ///
    /// # Panics
    ///
    /// When the body does not end while [`TEST_TIMEOUT`] lasts between two of its pieces.
    pub async fn read_to_end(&mut self) -> (Bytes, BodyEnd) {
        let mut body = BytesMut::new();
        loop {
            match self.read_body_chunk().await {
                Ok(data) => body.extend_from_slice(&data),
                Err(end) => return (body.freeze(), end),
            }
        }
    }

    /// The bytes that have arrived, unframed; empty once the server has closed its side.
    ///
    /// # Panics
    ///
    /// When nothing arrives in time.
    pub async fn read_some(&mut self) -> Bytes {
        while self.buffer.is_empty() && self.closed.is_none() {
            self.fill("any bytes").await;
        }
        self.buffer.split().freeze()
    }

    /// Waits until the server has closed the connection, and returns how; skips what still arrives.
    ///
    /// [`BodyEnd::Cut`] stands for an ordinary close (FIN) here.
    ///
    /// # Panics
    ///
    /// When the connection stays open.
    pub async fn closed(&mut self) -> BodyEnd {
        loop {
            if let Some(closed) = self.closed {
                return closed;
            }
            self.fill("the end of the connection").await;
        }
    }

    /// Every byte that has arrived on this connection, framing included.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Closes our sending side (FIN) and goes on reading.
    ///
    /// # Panics
    ///
    /// When the stream refuses.
    pub async fn half_close(&mut self) {
        let shut = within(self.timeout, self.stream.shutdown()).await;
        shut.expect("a shutdown does not wait")
            .expect("an open stream can be shut down");
    }

    /// Closes the connection in good order (FIN), as a closed tab does.
    ///
    /// Unread bytes would turn the close into a reset, so what has already come is read first.
    pub async fn finish(mut self) {
        let mut scrap = BytesMut::with_capacity(64 * 1024);
        while within(Duration::ZERO, self.stream.read_buf(&mut scrap))
            .await
            .is_some_and(|read| read.is_ok_and(|bytes| bytes > 0))
        {
            scrap.clear();
        }
        // The server may have closed first; then there is nothing left to send.
        let _ = self.stream.shutdown().await;
    }

    /// Reads once from the stream into the buffer.
    async fn fill(&mut self, what: &str) {
        let before = self.buffer.len();
        match within(self.timeout, self.stream.read_buf(&mut self.buffer)).await {
            Some(Ok(0)) => self.closed = Some(BodyEnd::Cut),
            Some(Ok(_)) => self.raw.extend_from_slice(&self.buffer[before..]),
            Some(Err(error)) if is_reset(&error) => self.closed = Some(BodyEnd::Reset),
            Some(Err(error)) => panic!("could not read: {error}; {}", self.arrived()),
            None => panic!("waited {:?} for {what}; {}", self.timeout, self.arrived()),
        }
    }

    /// The bytes that arrived before, for the message of a failing test.
    fn arrived(&self) -> String {
        const SHOWN: usize = 2048;
        let from = self.raw.len().saturating_sub(SHOWN);
        format!(
            "{} bytes had arrived, the last of them: \"{}\"",
            self.raw.len(),
            self.raw[from..].escape_ascii()
        )
    }
}

fn peer(stream: &TcpStream) -> SocketAddr {
    stream.peer_addr().expect("a connected socket has a peer")
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
