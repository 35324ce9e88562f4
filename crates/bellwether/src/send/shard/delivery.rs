//! How bytes get from the bodies of a shard's readers to their sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use bellwether_topics::WatchToken;
use bytes::Bytes;
use http_body::Body as _;
use tokio::time::Instant;

use super::group::Member;
use super::reader::Closing;
use super::slots::ReaderId;
use super::{Shard, ShardBuffers};
use crate::send::chunk_writer::{LAST_CHUNK, SendFailure, WriteStatus, append_chunk};
use crate::send::{Feed, shard::reader::Registrations};

/// This many members of a group that need no write count as one write.
const CHECKS_PER_SEND: usize = 16;

/// What one reader is sent at once. A body that has more is asked again later.
const MAX_PIECE_BYTES: usize = 64 * 1024;

/// Frames that are taken from one body before others get their turn.
const MAX_FRAMES: usize = 16;

/// What a body gave in one turn, beside what lies in the shard's buffer.
struct PolledBody {
    /// Chunks that many readers share, written as they are. The buffer is empty then.
    shared: Option<Bytes>,
    end: BodyStatus,
}

impl PolledBody {
    /// Something else follows the shared chunks, so they go into the buffer.
    fn unshare(&mut self, out: &mut Vec<u8>) {
        if let Some(chunks) = self.shared.take() {
            out.extend_from_slice(&chunks);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyStatus {
    /// It waits.
    Waiting,
    /// It may have more at once.
    More,
    Whole,
    /// It has failed, so its last chunk does not come.
    Cut,
}

impl Shard {
    /// Lets a reader be served on its own in this turn or a later one.
    pub(super) fn enqueue(&mut self, id: ReaderId) {
        if let Some(reader) = self.slots.get_mut(id)
            && !std::mem::replace(&mut reader.is_queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Serves a reader on its own.
    pub(super) fn serve(&mut self, id: ReaderId, now: Instant) {
        if let Some(reader) = self.slots.get_mut(id) {
            reader.is_queued = false;
            self.buffers.out.clear();
            self.poll_and_write(id, None, now);
        }
    }

    /// Goes on with the round through a group, for this many readers at most. What is left of the quota is returned.
    pub(super) fn deliver(&mut self, token: WatchToken, mut quota: usize, now: Instant) -> usize {
        let Some(Some(group)) = self.groups.get_mut(token.index()) else {
            return quota;
        };
        group.read(&mut self.buffers.reading);
        let feed = std::sync::Arc::clone(&group.feed);
        feed.window().set_now(now);
        let mut checks = 0;
        while quota > 0 {
            // A reader that ends may take its group along.
            let Some(Some(group)) = self.groups.get_mut(token.index()) else {
                return quota;
            };
            let Some(member) = group.next() else {
                break;
            };
            let reading = group.reading;
            if self.deliver_to(member, reading, &feed, now) {
                quota -= 1;
            } else {
                checks += 1;
                quota -= usize::from(checks % CHECKS_PER_SEND == 0);
            }
        }
        if let Some(Some(group)) = self.groups.get_mut(token.index()) {
            if group.is_done() {
                group.is_queued = false;
            } else {
                self.ready_groups.push_back(token);
            }
        }
        quota
    }

    /// Delivers what one reading found to one reader. False if nothing had to be polled.
    fn deliver_to(&mut self, member: Member, reading: u32, feed: &Feed, now: Instant) -> bool {
        let Some((id, reader)) = self.slots.at(member.reader) else {
            return false;
        };
        if let Registrations::One(_) = reader.registrations
            && std::mem::replace(&mut reader.served, reading) == reading
        {
            return false;
        }
        if reader.writer.is_blocked() || reader.body.is_none() {
            return false;
        }
        self.buffers.out.clear();
        self.poll_and_write(id, Some(feed), now);
        true
    }

    /// Takes what a body has, behind what lies in the buffer, and writes it.
    pub(super) fn poll_and_write(&mut self, id: ReaderId, feed: Option<&Feed>, now: Instant) {
        let ShardBuffers { out, .. } = &mut self.buffers;
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        if reader.writer.is_blocked() {
            return;
        }
        let Some((body, own)) = reader.body_and_waker() else {
            return;
        };
        let mut kept = None;
        let mut polled_body = PolledBody {
            shared: None,
            end: BodyStatus::More,
        };
        self.wakers.begin_batch();
        for _ in 0..MAX_FRAMES {
            let (polled, waker) = self.wakers.poll(id, own.or(kept.as_ref()), |cx| {
                // Bodies run foreign code: a panic ends its own stream and no other.
                catch_unwind(AssertUnwindSafe(|| {
                    std::pin::Pin::new(&mut *body).poll_frame(cx)
                }))
                .unwrap_or_else(|_| {
                    tracing::error!("stream closed by a panic");
                    Poll::Ready(Some(Err(axum::Error::new("the body panicked"))))
                })
            });
            kept = waker.or(kept);
            match polled {
                Poll::Pending => {
                    polled_body.end = BodyStatus::Waiting;
                    break;
                }
                Poll::Ready(None) => {
                    polled_body.end = BodyStatus::Whole;
                    break;
                }
                Poll::Ready(Some(Err(_))) => {
                    polled_body.end = BodyStatus::Cut;
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let chunks = feed.and_then(|feed| feed.window().chunks_of(&data));
                    match chunks {
                        Some(chunks) if out.is_empty() && polled_body.shared.is_none() => {
                            polled_body.shared = Some(chunks);
                        }
                        chunks => {
                            polled_body.unshare(out);
                            match chunks {
                                Some(chunks) => out.extend_from_slice(&chunks),
                                None => append_chunk(&data, out),
                            }
                        }
                    }
                    if out.len() >= MAX_PIECE_BYTES {
                        break;
                    }
                }
            }
        }
        if let Some(waker) = kept {
            reader.keep_waker(waker);
        }
        if polled_body.end == BodyStatus::Whole {
            polled_body.unshare(out);
            out.extend_from_slice(LAST_CHUNK);
        }
        self.write(id, &polled_body, now);
    }

    /// Writes what a body gave, and does what follows from its end.
    fn write(&mut self, id: ReaderId, polled_body: &PolledBody, now: Instant) {
        let out = &self.buffers.out;
        let Some(reader) = self.slots.get_mut(id) else {
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        let is_shared = polled_body.shared.is_some();
        let sent = match &polled_body.shared {
            Some(chunks) => {
                let rest = |taken| chunks.slice(taken..);
                reader.writer.send(&mut cx, chunks, now, rest)
            }
            None if out.is_empty() => Ok(WriteStatus::All),
            None => {
                let rest = |taken: usize| Bytes::copy_from_slice(&out[taken..]);
                reader.writer.send(&mut cx, out, now, rest)
            }
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return self.abort(id, SendFailure::from(&error)),
        };
        if matches!(polled_body.end, BodyStatus::Whole | BodyStatus::Cut) {
            let is_whole = polled_body.end == BodyStatus::Whole;
            if !is_whole {
                reader.stream_state.note_failed();
            }
            reader.begin_closing(Closing {
                is_whole,
                linger_until: None,
            });
            self.drop_body(id);
            return match sent {
                WriteStatus::All => self.close(id, now),
                WriteStatus::Blocked => self.await_writable(id),
            };
        }
        match sent {
            // The usual case, which leaves the reader alone: its deadline can only have moved away.
            WriteStatus::All if is_shared && polled_body.end == BodyStatus::Waiting => {}
            WriteStatus::All => {
                if !out.is_empty() {
                    reader.stream_state.note_flushed();
                }
                if polled_body.end == BodyStatus::More {
                    self.enqueue(id);
                }
                self.schedule(id);
            }
            WriteStatus::Blocked => self.await_writable(id),
        }
    }
}
