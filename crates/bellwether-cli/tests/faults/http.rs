//! As much of an HTTP client as hundreds of readers need: cheap, and every byte of a stream is seen.

use std::io;
use std::time::Duration;

use bellwether_testkit::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response whose body was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request on its own connection and reads the whole answer.
///
/// # Errors
///
/// There is no connection, or it ends early, or nothing comes within the deadline.
pub(crate) async fn request(
    address: &str,
    head: &str,
    body: &str,
    deadline: Duration,
) -> io::Result<Answer> {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await?;
        let length = body.len();
        let message = format!(
            "{head}Host: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(message.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = within(deadline, exchange).await.unwrap_or_else(|| {
        let message = format!("no answer within {deadline:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Answer {
        status: head[9..12].parse().unwrap(),
        body: body.to_owned(),
    })
}

/// Asks for a path.
pub(crate) async fn get(address: &str, path: &str, deadline: Duration) -> io::Result<Answer> {
    request(address, &format!("GET {path} HTTP/1.1\r\n"), "", deadline).await
}

/// An open event stream: the blocks of its body, taken out of their chunks.
#[derive(Debug)]
pub(crate) struct EventStream {
    socket: TcpStream,
    /// Bytes as they came, from the head or chunk that is not whole yet.
    raw: Vec<u8>,
    /// The body from the block that is not whole yet.
    body: Vec<u8>,
}

impl EventStream {
    /// Asks for a stream and waits for its head.
    ///
    /// # Errors
    ///
    /// There is no connection, it ends early, or the status is not 200.
    pub(crate) async fn open(address: &str, path: &str, last_id: &str) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        let id = match last_id {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{id}\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        let mut stream = Self {
            socket,
            raw: Vec::new(),
            body: Vec::new(),
        };
        let end = loop {
            if let Some(end) = find(&stream.raw, b"\r\n\r\n") {
                break end;
            }
            stream.fill().await?;
        };
        if !stream.raw.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("the stream was refused"));
        }
        stream.raw.drain(..end + 4);
        Ok(stream)
    }

    /// The next block without its blank line, or a comment line between blocks; `None` at a proper end.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The connection was cut.
    pub(crate) async fn block(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // A keep-alive and a retry are lines of their own, without a blank line.
            let is_line = self.body.starts_with(b":") || self.body.starts_with(b"retry:");
            let end = match is_line {
                true => find(&self.body, b"\n").map(|end| (end, 1)),
                false => find(&self.body, b"\n\n").map(|end| (end, 2)),
            };
            if let Some((end, breaks)) = end {
                let mut block: Vec<u8> = self.body.drain(..end + breaks).collect();
                block.truncate(end);
                return Ok(Some(block));
            }
            match self.take_chunk() {
                Some(0) => return Ok(None),
                Some(_) => {}
                None => self.fill().await?,
            }
        }
    }

    /// Moves a whole chunk into the body; its length, or `None` if none is whole.
    fn take_chunk(&mut self) -> Option<usize> {
        let line = find(&self.raw, b"\r\n")?;
        let digits = std::str::from_utf8(&self.raw[..line]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        let (begin, end) = (line + 2, line + 2 + length);
        if self.raw.len() < end + 2 {
            return None;
        }
        self.body.extend_from_slice(&self.raw[begin..end]);
        self.raw.drain(..end + 2);
        Some(length)
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.raw).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
