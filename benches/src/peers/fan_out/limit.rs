//! The limit: what the kernel takes for one `send` per reader, with as little around it as can be.
//!
//! One thread, one epoll instance. An event becomes one buffer, already framed as an HTTP chunk,
//! and every reader gets it by one system call. A reader whose socket is full misses events.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

const LISTENER: u64 = u64::MAX;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Every connection by its number.
#[derive(Default)]
struct Connections {
    all: Vec<Option<Connection>>,
    free: Vec<usize>,
}

struct Connection {
    socket: OwnedFd,
    is_reader: bool,
    /// The bytes of a request that is not complete.
    request: Vec<u8>,
    /// The rest of the last event, which the socket did not take.
    unsent: Vec<u8>,
}

pub(in crate::peers) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    super::announce(listener.local_addr()?)?;
    let mut connections = Connections::default();
    let mut input = vec![0; 16 * 1024];
    loop {
        let mut space = [MaybeUninit::<Event>::uninit(); 256];
        let (events, _) = match epoll::wait(&epoll, &mut space, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        for event in events.iter() {
            match event.data.u64() {
                LISTENER => connections.accept(&listener, &epoll)?,
                index => connections.read(index as usize, &mut input),
            }
        }
    }
}

impl Connections {
    fn accept(&mut self, listener: &TcpListener, epoll: &OwnedFd) -> io::Result<()> {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let index = self.free.pop().unwrap_or(self.all.len());
        if index == self.all.len() {
            self.all.push(None);
        }
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(index as u64), flags)?;
        self.all[index] = Some(Connection {
            socket,
            is_reader: false,
            request: Vec::new(),
            unsent: Vec::new(),
        });
        Ok(())
    }

    fn read(&mut self, index: usize, input: &mut [u8]) {
        let Some(Some(connection)) = self.all.get_mut(index) else {
            return;
        };
        loop {
            match recv(&connection.socket, &mut *input, RecvFlags::empty()) {
                Ok((count, _)) if count > 0 => {
                    connection.request.extend_from_slice(&input[..count]);
                    if count < input.len() {
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                _ => {
                    self.all[index] = None;
                    self.free.push(index);
                    return;
                }
            }
        }
        let mut requests = std::mem::take(&mut connection.request);
        let mut used = 0;
        while let Some((size, data)) = request(&requests[used..]) {
            match data {
                None => {
                    if let Some(connection) = &mut self.all[index] {
                        connection.is_reader = true;
                        connection.send(HEAD);
                    }
                }
                Some(data) => {
                    self.publish(data);
                    if let Some(connection) = &mut self.all[index] {
                        connection.send(PUBLISHED);
                    }
                }
            }
            used += size;
        }
        requests.drain(..used);
        if let (Some(connection), false) = (&mut self.all[index], requests.is_empty()) {
            connection.request = requests;
        }
    }

    fn publish(&mut self, data: &[u8]) {
        let size = data.len() + b"data: \n\n".len();
        let head = format!("{size:x}\r\ndata: ");
        let chunk = [head.as_bytes(), data, b"\n\n\r\n"].concat();
        for connection in self.all.iter_mut().flatten() {
            if connection.is_reader {
                connection.send(&chunk);
            }
        }
    }
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if !self.unsent.is_empty() {
            let count = send(&self.socket, &self.unsent, flags).unwrap_or(0);
            self.unsent.drain(..count);
            if !self.unsent.is_empty() {
                return;
            }
        }
        match send(&self.socket, bytes, flags) {
            Ok(count) if count < bytes.len() => self.unsent = bytes[count..].to_vec(),
            // A full socket misses this event; epoll reports a broken one.
            _ => {}
        }
    }
}

/// The first request, if it is there whole: its size, and the data if it publishes.
fn request(bytes: &[u8]) -> Option<(usize, Option<&[u8]>)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    if !bytes.starts_with(b"POST") {
        return Some((head, None));
    }
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.split("Content-Length: ").nth(1)?.lines().next()?;
    let size = head + length.parse::<usize>().ok()?;
    Some((size, Some(bytes.get(head..size)?)))
}
