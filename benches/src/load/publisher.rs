//! A client that publishes: `POST /publish` on a connection that stays open.
//!
//! Several requests may be on their way at once (RFC 9112, section 9.3.2), so that a window of events is really in
//! flight. Most clients do not do that; [`Publisher::is_answered`] is for those that send their next request when the
//! last one was answered.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::{Interest, Registry, Token};

use super::numbered;
use super::stream::{Stream, Trust};
use crate::Result;

#[derive(Debug)]
pub(crate) struct Publisher {
    stream: Stream,
    host: SocketAddr,
    unsent: Vec<u8>,
    answers: Vec<u8>,
    /// Requests without an answer.
    open: u64,
}

impl Publisher {
    pub(crate) fn connect(
        server: SocketAddr,
        trust: Option<&Trust>,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let mut stream = Stream::connect(server, trust, b"")?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(stream.socket(), token, interests)?;
        Ok(Self {
            stream,
            host: server,
            unsent: Vec::new(),
            answers: Vec::new(),
            open: 0,
        })
    }

    /// Puts one more event on its way; it leaves with [`flush`](Self::flush).
    pub(crate) fn publish(&mut self, number: u64, size: usize) {
        let data = numbered::payload(number, size);
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{data}",
            self.host,
            data.len()
        );
        self.unsent.extend_from_slice(request.as_bytes());
        self.open += 1;
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        // TLS may still hold bytes that it has taken.
        match self.stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads what was answered.
    ///
    /// # Errors
    ///
    /// An event was refused, or the connection has ended.
    pub(crate) fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server closed the publisher's connection".into()),
                Ok(count) => self.answers.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(size) = answer(&self.answers)? {
            self.answers.drain(..size);
            self.open = self.open.saturating_sub(1);
        }
        Ok(())
    }

    /// Whether every request has its answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.open == 0
    }
}

/// The size of the first answer if it is there whole.
fn answer(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    if !text.starts_with("http/1.1 2") {
        return Err(format!("an event was refused: {text:?}").into());
    }
    let body: usize = match text.split("content-length: ").nth(1) {
        Some(rest) => rest.lines().next().unwrap_or("").trim().parse()?,
        None => 0,
    };
    let size = head + 4 + body;
    Ok((bytes.len() >= size).then_some(size))
}
