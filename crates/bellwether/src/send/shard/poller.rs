//! The shard's own epoll instance, nested in the runtime's by one file descriptor.
//!
//! Ten thousand sockets are one registration with the runtime. All of them are watched edge by edge for the end of the
//! peer's side and for bytes of the peer. Whether a socket takes bytes
//! again is watched from the first time that it did not.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::slots::ReaderId;

/// Events of one look. What does not fit comes with the next.
const MAX_EVENTS: usize = 256;

/// What happened to one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SocketEvent {
    pub(super) id: ReaderId,
    /// The peer has closed its side, or the connection has failed.
    pub(super) is_over: bool,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
}

/// What a socket is watched for, beside its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Interests {
    /// Bytes that are to be read.
    pub(super) reading: bool,
    /// Whether it takes bytes again.
    pub(super) writing: bool,
}

impl Interests {
    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::RDHUP | EventFlags::ET;
        flags.set(EventFlags::IN, self.reading);
        flags.set(EventFlags::OUT, self.writing);
        flags
    }
}

pub(super) struct Poller {
    epoll: AsyncFd<OwnedFd>,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "what replaces it needs unsafe code; an owned descriptor keeps what that would promise"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll })
    }

    /// Watches a socket until it is closed.
    pub(super) fn add(
        &self,
        socket: &TcpStream,
        id: ReaderId,
        interest: Interests,
    ) -> io::Result<()> {
        let data = EventData::new_u64(id.to_u64());
        Ok(epoll::add(&self.epoll, socket, data, interest.flags())?)
    }

    /// Watches a socket for something else as well, from now on.
    pub(super) fn change(
        &self,
        socket: &TcpStream,
        id: ReaderId,
        interest: Interests,
    ) -> io::Result<()> {
        let data = EventData::new_u64(id.to_u64());
        Ok(epoll::modify(&self.epoll, socket, data, interest.flags())?)
    }

    /// Watches a socket no longer: it goes elsewhere.
    pub(super) fn remove(&self, socket: &TcpStream) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Appends what happened; whether there may be more at once. Otherwise the task is woken by what happens next.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<SocketEvent>,
    ) -> io::Result<bool> {
        let mut guard = match self.epoll.poll_read_ready(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(guard) => guard?,
        };
        let mut space = [MaybeUninit::<Event>::uninit(); MAX_EVENTS];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let events = match epoll::wait(guard.get_inner(), &mut space, Some(&at_once)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if events.len() < MAX_EVENTS {
            guard.clear_ready();
        }
        out.extend(events.iter().map(|event| {
            let flags = event.flags;
            SocketEvent {
                id: ReaderId::from_u64(event.data.u64()),
                is_over: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
                is_readable: flags.contains(EventFlags::IN),
                is_writable: flags.contains(EventFlags::OUT),
            }
        }));
        // Without a look that found nothing, the runtime would not wake the task again.
        Ok(true)
    }
}
