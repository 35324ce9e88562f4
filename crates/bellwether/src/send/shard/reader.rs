//! One stream of a shard: its socket, its body, and its registrations with its topics.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use tokio::time::Instant;

use super::poller::Interests;
use super::socket::ShardSocket;
use super::wheel::Tick;
use crate::admission::Permit;
use crate::send::chunk_writer::{ChunkWriter, MAX_DISCARDED_BYTES, PollSocket, SendFailure};
use crate::send::stream_state::{MAX_AHEAD_BYTES, StreamState};

/// A stream that is handed over to a shard. Nothing of its response is written yet.
pub(crate) struct Handover {
    pub(crate) socket: ShardSocket,
    pub(crate) permit: Permit,
    pub(crate) stream_state: Arc<StreamState>,
    /// The head of the response, to be written before the body.
    pub(crate) head: Vec<u8>,
    /// The body with everything that layers have put around it.
    pub(crate) body: Body,
    pub(crate) input: RequestInput,
}

/// The use of bytes that the client sends during the stream.
#[derive(Debug)]
pub(crate) enum RequestInput {
    /// They are its next request: what was read already, and what waits in the kernel. The connection is used again.
    NextRequest(Vec<u8>),
    /// They are thrown away, and the connection closes after the response, as its head says.
    Discard,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// A stream. Ten thousand of them wait at once, so what most do not have is boxed.
pub(super) struct Reader {
    pub(super) writer: ChunkWriter<ShardSocket>,
    /// `None` after its end; the socket may stay for a while.
    pub(super) body: Option<Body>,
    pub(super) stream_state: Arc<StreamState>,
    pub(super) permit: Permit,
    pub(super) registrations: Registrations,
    extras: Option<Box<ReaderExtras>>,
    /// The reminder that counts; earlier ones that were not needed are ignored.
    pub(super) alarm: Tick,
    /// The group's reading after which it was served last.
    pub(super) served: u32,
    pub(super) interests: Interests,
    pub(super) is_reusable: bool,
    /// It is in the queue of readers that are served on their own.
    pub(super) is_queued: bool,
}

/// The fields that few streams need.
#[derive(Debug, Default)]
struct ReaderExtras {
    /// The waker that the body has kept.
    waker: Option<Waker>,
    /// What was read of the next request, if the connection is used again.
    ahead: Vec<u8>,
    /// Bytes of the client that were thrown away.
    discarded: usize,
    closing: Option<Closing>,
}

/// A stream whose body has ended, while its last bytes leave and its client closes its side.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) is_whole: bool,
    /// The sending side is closed, and the client has until then to close its own.
    pub(super) linger_until: Option<Instant>,
}

/// A position in a group's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) group: u32,
    pub(super) position: u32,
}

/// The registrations of one reader; most have one topic.
#[derive(Debug)]
pub(super) enum Registrations {
    One(Registration),
    Many(Box<[Registration]>),
}

impl Registrations {
    pub(super) fn none() -> Self {
        Self::Many(Box::default())
    }

    pub(super) fn all(&self) -> &[Registration] {
        match self {
            Self::One(registration) => std::slice::from_ref(registration),
            Self::Many(registrations) => registrations,
        }
    }

    pub(super) fn get_mut(&mut self, nth: u32) -> Option<&mut Registration> {
        match self {
            Self::One(registration) => (nth == 0).then_some(registration),
            Self::Many(registrations) => registrations.get_mut(nth as usize),
        }
    }
}

impl Reader {
    pub(super) fn new(handover: Handover) -> (Self, Vec<u8>) {
        let Handover {
            socket,
            permit,
            stream_state,
            head,
            body,
            input,
        } = handover;
        let interests = Interests {
            reading: true,
            writing: false,
        };
        let (is_reusable, ahead) = match input {
            RequestInput::NextRequest(ahead) => (true, ahead),
            RequestInput::Discard => (false, Vec::new()),
        };
        let extras = (!ahead.is_empty()).then(|| {
            Box::new(ReaderExtras {
                ahead,
                ..ReaderExtras::default()
            })
        });
        let reader = Self {
            writer: ChunkWriter::new(socket),
            body: Some(body),
            stream_state,
            permit,
            registrations: Registrations::none(),
            extras,
            alarm: Tick::NEVER,
            served: 0,
            interests,
            is_reusable,
            is_queued: false,
        };
        (reader, head)
    }

    /// The body, and the waker that it has kept, if it has kept one.
    pub(super) fn body_and_waker(&mut self) -> Option<(&mut Body, Option<&Waker>)> {
        let extras = self.extras.as_ref();
        let waker = extras.and_then(|extras| extras.waker.as_ref());
        Some((self.body.as_mut()?, waker))
    }

    pub(super) fn keep_waker(&mut self, waker: Waker) {
        self.extras.get_or_insert_default().waker = Some(waker);
    }

    /// How it ends, once its body has ended.
    pub(super) fn closing(&self) -> Option<&Closing> {
        self.extras.as_ref()?.closing.as_ref()
    }

    pub(super) fn closing_mut(&mut self) -> Option<&mut Closing> {
        self.extras.as_mut()?.closing.as_mut()
    }

    pub(super) fn begin_closing(&mut self, closing: Closing) {
        self.extras.get_or_insert_default().closing = Some(closing);
    }

    /// What was read of the next request.
    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        let extras = self.extras.as_mut();
        extras.map_or_else(Vec::new, |extras| std::mem::take(&mut extras.ahead))
    }

    /// Reads what the client sends meanwhile: the beginning of its next request, within a bound, or what is thrown away.
    pub(super) fn read_input(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Result<(), SendFailure> {
        if !self.is_reusable || self.closing().is_some() {
            let before = self.extras.as_ref().map_or(0, |extras| extras.discarded);
            let mut sum = before;
            let read = self
                .writer
                .discard(cx, space, &mut sum, MAX_DISCARDED_BYTES);
            if sum != before {
                self.extras.get_or_insert_default().discarded = sum;
            }
            return read;
        }
        loop {
            match self.writer.socket_mut().poll_read(cx, space) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(SendFailure::Disconnected),
                Poll::Ready(Ok(count)) => {
                    let ahead = &mut self.extras.get_or_insert_default().ahead;
                    ahead.extend_from_slice(&space[..count]);
                    if ahead.len() > MAX_AHEAD_BYTES {
                        return Err(SendFailure::Disconnected);
                    }
                }
                Poll::Ready(Err(error)) => return Err(SendFailure::from(&error)),
            }
        }
    }
}
