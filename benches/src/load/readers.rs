//! Many readers of generated streams on one thread, each holding what it receives to its [`Checker`].

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Socket};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Faults;
use super::events::Checker;
use crate::Result;

/// One read takes at most this much; more than a socket holds saves nothing.
const READ_BYTES: usize = 256 * 1024;

/// Readers, connected to one server and watched together.
#[derive(Debug)]
pub(crate) struct Readers {
    poll: Poll,
    ready: Events,
    readers: Vec<Reader>,
    /// Those that may have more to read. Readiness comes once, and no reader reads twice in a row while others wait.
    unread: Vec<usize>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Reader {
    stream: TcpStream,
    checker: Checker,
    /// The server has closed the connection.
    is_closed: bool,
    /// Whether it is in the list of those that may have more.
    is_unread: bool,
}

impl Readers {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            ready: Events::with_capacity(1024),
            readers: Vec::new(),
            unread: Vec::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Connects one more reader and sends its request.
    pub(crate) fn connect(&mut self, server: SocketAddr, request: &str) -> Result<()> {
        let mut stream = Socket::connect(server)?;
        stream.set_nodelay(true)?;
        // A request is small enough for the empty buffer of a new socket.
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.readers.len());
        self.poll
            .registry()
            .register(&mut stream, token, Interest::READABLE)?;
        self.readers.push(Reader {
            stream,
            checker: Checker::new(),
            is_closed: false,
            is_unread: false,
        });
        Ok(())
    }

    /// Reads until every stream satisfies `is_done` or the time is over; whether they all do.
    ///
    /// # Errors
    ///
    /// A stream breaks HTTP, or ends before it satisfies.
    pub(crate) fn read_until(
        &mut self,
        is_done: impl Fn(&Checker) -> bool,
        time: Duration,
    ) -> Result<bool> {
        let end = Instant::now() + time;
        let mut waiting = self.readers.iter().filter(|r| !is_done(&r.checker)).count();
        while waiting > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let wait = if self.unread.is_empty() {
                left
            } else {
                Duration::ZERO
            };
            self.poll.poll(&mut self.ready, Some(wait))?;
            for event in &self.ready {
                let Token(index) = event.token();
                if !std::mem::replace(&mut self.readers[index].is_unread, true) {
                    self.unread.push(index);
                }
            }
            for index in std::mem::take(&mut self.unread) {
                let reader = &mut self.readers[index];
                let was_done = is_done(&reader.checker);
                reader.read(&mut self.buffer)?;
                let is_done = is_done(&reader.checker);
                waiting -= usize::from(is_done && !was_done);
                if reader.is_closed && !is_done {
                    let events = reader.checker.next();
                    return Err(format!("a stream was closed after {events} events").into());
                }
                if reader.is_unread {
                    self.unread.push(index);
                }
            }
        }
        Ok(true)
    }

    /// Events that came, over all readers.
    pub(crate) fn events(&self) -> u64 {
        self.readers
            .iter()
            .map(|reader| reader.checker.next())
            .sum()
    }

    /// What was wrong, over all readers.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for reader in &self.readers {
            faults.add(reader.checker.faults());
        }
        faults
    }
}

impl Reader {
    /// Takes some of what the socket has, and notes whether there may be more.
    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => {
                self.is_closed = true;
                self.is_unread = false;
            }
            Ok(count) => self.checker.take(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_unread = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A request as a browser's `EventSource` sends it, with all its headers and a session's cookie.
pub(crate) fn browser_request(path: &str, server: SocketAddr) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n\
        Host: {server}\r\n\
        Connection: keep-alive\r\n\
        sec-ch-ua-platform: \"Linux\"\r\n\
        Cache-Control: no-cache\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/142.0.0.0 Safari/537.36\r\n\
        Accept: text/event-stream\r\n\
        sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
        sec-ch-ua-mobile: ?0\r\n\
        Sec-Fetch-Site: same-origin\r\n\
        Sec-Fetch-Mode: cors\r\n\
        Sec-Fetch-Dest: empty\r\n\
        Referer: http://{server}/\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\n\
        Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
        Cookie: session=4b1f0d1f5a0c4c7e9a0e6f7d2c3b8a91; theme=dark\r\n\
        \r\n"
    )
}
