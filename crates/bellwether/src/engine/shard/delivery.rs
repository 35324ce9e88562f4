//! How events get from the log to the readers of a shard: walks that many share, and looks of one's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::BoxError;
use bellwether_topics::{Delivery, Subscription, Taken, WatchToken};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Buffers, Shard, Slot};
use crate::engine::group::{MAX_READ_BYTES, Member, News, Walk};
use crate::engine::mailbox::{Mailbox, Nudge};
use crate::engine::reader::{Gone, Sent};
use crate::engine::slots::Id;
use crate::events::{SubscriptionEnd, end_of, panic_error};

/// Members of a group that are looked at without a write count as one write.
const LOOKS_PER_SEND: usize = 16;

/// The time from publish to socket is noted for one in so many readers.
const READERS_PER_LAG: usize = 64;

/// What a reader's look at the log led to.
enum Looked {
    /// It has had everything, or its socket takes no more, or its turn is over.
    Waits,
    /// It has more to read.
    Again,
    Blocked,
    Gone(Gone),
    Failed(BoxError),
    Closed(SubscriptionEnd),
}

impl Shard {
    /// Lets a reader read for itself in this turn or a later one.
    pub(super) fn enqueue(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id)
            && !std::mem::replace(&mut reader.is_queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Lets a reader read for itself.
    pub(super) fn serve(&mut self, id: Id, budget: &mut usize, now: Instant) {
        match self.look(id, budget, now) {
            Looked::Waits => {}
            Looked::Again => self.enqueue(id),
            Looked::Blocked => self.wait_for_socket(id),
            Looked::Gone(gone) => self.lose(id, gone),
            Looked::Failed(error) => self.fail(id, &error, now),
            Looked::Closed(end) => self.end(id, end, now),
        }
    }

    fn look(&mut self, id: Id, budget: &mut usize, now: Instant) -> Looked {
        let Buffers {
            out, deliveries, ..
        } = &mut self.buffers;
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return Looked::Waits;
        };
        reader.is_queued = false;
        if reader.unsent.is_some() && !reader.is_revoked(now) {
            return Looked::Waits;
        }
        loop {
            deliveries.clear();
            // A filter is foreign code: its panic ends its own stream and no other.
            let taken = catch_unwind(AssertUnwindSafe(|| {
                take(&mut reader.subscription, &self.mailbox, id, deliveries)
            }));
            match taken {
                Ok(Taken::Some(_)) => {}
                Ok(Taken::Closed) => return Looked::Closed(end_of(&reader.subscription)),
                Ok(_) => return Looked::Waits,
                Err(panic) => return Looked::Failed(panic_error(&*panic)),
            }
            out.clear();
            reader.encode(deliveries, out);
            deliveries.clear();
            if out.is_empty() {
                continue;
            }
            *budget = budget.saturating_sub(1);
            match reader.send(out, now, |taken| Bytes::copy_from_slice(&out[taken..])) {
                Ok(Sent::All) => reader.put_off_beat(now, &self.wheel),
                Ok(Sent::Blocked) => return Looked::Blocked,
                Err(error) => return Looked::Gone(Gone::from(&error)),
            }
            if *budget == 0 {
                return Looked::Again;
            }
        }
    }

    /// Goes on with the walk through a group. Whether nothing is left to do for it.
    pub(super) fn walk(&mut self, token: WatchToken, budget: &mut usize, now: Instant) -> bool {
        loop {
            let Some(Some(group)) = self.groups.get_mut(token.index()) else {
                return true;
            };
            let Some(mut walk) = group.take_walk(&mut self.buffers.frames) else {
                group.is_queued = false;
                return true;
            };
            let mut looks = 0;
            while walk.next > 0 {
                if *budget == 0 {
                    // Whoever has left meanwhile may have taken the group along.
                    if let Some(Some(group)) = self.groups.get_mut(token.index()) {
                        group.put_walk(walk);
                    }
                    return false;
                }
                looks += 1;
                if looks % LOOKS_PER_SEND == 0 {
                    *budget -= 1;
                }
                walk.next -= 1;
                let member = match self.groups.get(token.index()) {
                    Some(Some(group)) => group.members.get(walk.next).copied(),
                    _ => return true,
                };
                if let Some(member) = member {
                    self.visit(member, &walk, budget, now);
                }
            }
        }
    }

    /// Brings the news to one reader.
    fn visit(&mut self, member: Member, walk: &Walk, budget: &mut usize, now: Instant) {
        let Some((id, Slot::Reading(reader))) = self.slots.at(member.reader) else {
            return;
        };
        if (walk.asks || reader.has_expiry) && reader.is_revoked(now) {
            self.enqueue(id);
            return;
        }
        if reader.unsent.is_some() {
            return;
        }
        match &walk.news {
            News::Shared(shared) if reader.is_at(&shared.start) => {
                *budget = budget.saturating_sub(1);
                let sent = reader.send_shared(shared, now);
                // The last reader of a walk, and some before it: a look at the clock for each would show.
                if walk.next.is_multiple_of(READERS_PER_LAG) {
                    reader.subscription.record_lag(shared.published);
                }
                match sent {
                    // The usual case, without another look into the table.
                    Ok(Sent::All) => reader.put_off_beat(now, &self.wheel),
                    sent => self.after_send(id, sent, now),
                }
            }
            News::Shared(shared) if reader.is_at(&shared.end) => {}
            News::None(place) if reader.is_at(place) => {}
            _ => self.enqueue(id),
        }
    }
}

/// What comes next for a subscription. With a broker to be asked, the shard is woken when it has answered.
fn take(
    subscription: &mut Subscription,
    mailbox: &Arc<Mailbox>,
    id: Id,
    out: &mut Vec<Delivery>,
) -> Taken {
    match subscription.try_frames(MAX_READ_BYTES, out) {
        Taken::NeedsPoll => {
            let waker = Waker::from(Arc::new(Nudge {
                mailbox: Arc::clone(mailbox),
                id,
            }));
            let mut cx = Context::from_waker(&waker);
            match subscription.poll_frames(&mut cx, MAX_READ_BYTES, out) {
                Poll::Ready(Some(count)) => Taken::Some(count),
                Poll::Ready(None) => Taken::Closed,
                Poll::Pending => Taken::CaughtUp,
            }
        }
        taken => taken,
    }
}
