//! The limit: what writing the bytes of events and handing them to the kernel takes, with as little
//! around it as can be.
//!
//! One thread, one epoll instance. Every reader with room in its socket gets a buffer of fresh
//! events, framed as one HTTP chunk, by one system call; then the next reader has its turn.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

const LISTENER: u64 = u64::MAX;

/// A buffer is sent when it holds this many bytes.
const BUFFER_BYTES: usize = 60_000;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A chunk's size in front of its events, of the same length whatever the size.
const SIZE_LINE: &[u8] = b"00000\r\n";

struct Connection {
    socket: OwnedFd,
    /// The bytes of a request that is not complete.
    request: Vec<u8>,
    stream: Option<Stream>,
    /// The bytes that the socket did not take.
    unsent: Vec<u8>,
}

/// Numbers that are still to be sent.
struct Stream {
    next: u64,
    end: u64,
    /// Whether nothing follows the last number, not even the end.
    stays_open: bool,
}

pub(super) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let (data, flags) = (EventData::new_u64(LISTENER), EventFlags::IN);
    epoll::add(&epoll, &listener, data, flags)?;
    super::announce(listener.local_addr()?)?;
    // Entries of closed connections stay: a run has a small number, and its server ends with it.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES * 2);
    let mut is_busy = false;
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        let mut space = [MaybeUninit::<Event>::uninit(); 256];
        let wait = is_busy.then_some(&at_once);
        let (events, _) = match epoll::wait(&epoll, &mut space, wait) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        for event in events.iter() {
            let index = event.data.u64();
            if index == LISTENER {
                accept(&mut connections, &listener, &epoll)?;
            } else if let Some(place) = connections.get_mut(index as usize)
                && let Some(connection) = place
                && !(connection.read() && connection.send_rest())
            {
                *place = None;
            }
        }
        is_busy = false;
        for place in &mut connections {
            if let Some(connection) = place {
                match connection.generate(&mut buffer) {
                    Ok(sent) => is_busy |= sent,
                    Err(_) => *place = None,
                }
            }
        }
    }
}

fn accept(
    connections: &mut Vec<Option<Connection>>,
    listener: &TcpListener,
    epoll: &OwnedFd,
) -> io::Result<()> {
    let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => socket,
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let data = EventData::new_u64(connections.len() as u64);
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    epoll::add(epoll, &socket, data, flags)?;
    connections.push(Some(Connection {
        socket,
        request: Vec::new(),
        stream: None,
        unsent: Vec::new(),
    }));
    Ok(())
}

impl Connection {
    /// Reads what the client sent; false when it has left.
    fn read(&mut self) -> bool {
        let mut input = [0; 4096];
        loop {
            match recv(&self.socket, &mut input, RecvFlags::empty()) {
                Ok((count, _)) if count > 0 => self.request.extend_from_slice(&input[..count]),
                Err(Errno::AGAIN) => break,
                _ => return false,
            }
        }
        if memchr::memmem::find(&self.request, b"\r\n\r\n").is_some() {
            self.stream = Stream::asked_for(&self.request);
            self.request = Vec::new();
            return self.stream.is_some() && self.send(HEAD);
        }
        true
    }

    /// Sends the bytes that the socket did not take before; false when the connection is broken.
    fn send_rest(&mut self) -> bool {
        let rest = std::mem::take(&mut self.unsent);
        rest.is_empty() || self.send(&rest)
    }

    /// Sends the next buffer of events if there is room; whether there was.
    fn generate(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Errno> {
        if !self.unsent.is_empty() {
            return Ok(false);
        }
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        buffer.clear();
        let goes_on = stream.fill(buffer);
        if !goes_on {
            self.stream = None;
        }
        if self.send(buffer) {
            Ok(goes_on)
        } else {
            Err(Errno::PIPE)
        }
    }

    /// Sends bytes, and keeps what the socket does not take; false when it is broken.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let count = match send(
            &self.socket,
            bytes,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            Err(_) => return false,
        };
        self.unsent.extend_from_slice(&bytes[count..]);
        true
    }
}

impl Stream {
    /// What a request asks for, if it is one for a stream.
    fn asked_for(request: &[u8]) -> Option<Self> {
        let target = request
            .strip_prefix(b"GET ")?
            .split(|b| *b == b' ')
            .next()?;
        let events = match std::str::from_utf8(target).ok()? {
            "/idle" => None,
            target => Some(target.strip_prefix("/generator?events=")?.parse().ok()?),
        };
        Some(Self {
            next: 0,
            end: events.unwrap_or(1),
            stays_open: events.is_none(),
        })
    }

    /// Writes a chunk of events, and the end after the last one; whether more follows.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> bool {
        let mut digits = [0; 20];
        buffer.extend_from_slice(SIZE_LINE);
        while buffer.len() < BUFFER_BYTES && self.next < self.end {
            buffer.extend_from_slice(b"data: {\"i\":");
            buffer.extend_from_slice(decimal(self.next, &mut digits));
            buffer.extend_from_slice(b",\"msg\":\"hello\"}\n\n");
            self.next += 1;
        }
        let size = format!("{:05x}", buffer.len() - SIZE_LINE.len());
        if buffer.len() == SIZE_LINE.len() {
            buffer.clear();
        } else {
            buffer[..size.len()].copy_from_slice(size.as_bytes());
            buffer.extend_from_slice(b"\r\n");
        }
        let goes_on = self.next < self.end;
        if !goes_on && !self.stays_open {
            buffer.extend_from_slice(LAST_CHUNK);
        }
        goes_on
    }
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::load::events::Checker;

    #[test]
    fn readers_receive_every_event_and_the_end() {
        for events in [0, 1, 10, 4_321] {
            let request = format!("GET /generator?events={events} HTTP/1.1\r\n\r\n");
            let mut stream = Stream::asked_for(request.as_bytes()).unwrap();
            let mut buffer = Vec::new();
            let mut checker = Checker::new();
            checker.take(HEAD).unwrap();
            loop {
                let goes_on = stream.fill(&mut buffer);
                checker.take(&buffer).unwrap();
                if !goes_on {
                    break;
                }
                buffer.clear();
            }
            assert_eq!(checker.next(), events);
            assert!(checker.is_ended() && !checker.faults().any());
        }
    }
}
