//! A look: what comes next for a reader, by its place, its policy and what the history has. Pure.

use std::task::Waker;

use super::state::State;
use crate::frame::Frame;
use crate::gap::{Gap, GapReason};
use crate::history::{Anchor, Limit, Run, Seen};
use crate::place::{Asked, Reader};
use crate::policy::{Move, Situation, Slow};

/// What a look found.
#[derive(Debug)]
pub(crate) enum Look {
    /// Frames were handed out, and the place moved behind them.
    Frames,
    /// Nothing is new. The waker is registered if there was one.
    CaughtUp,
    /// History is lost; the place has moved to where the gap says.
    Gap(Gap),
    /// The policy says that the reader has to go.
    Disconnect,
    /// The broker has to be asked: for what lies before this history, or, with a reason, for where to go on.
    Deep(Option<GapReason>),
    /// The place lies beyond this node's head.
    Ahead,
    /// The log is closed.
    Closed,
}

impl State {
    /// Looks for what comes next for a reader, and registers the waker if nothing does. Wakers that this replaces go to
    /// `stale`, to be dropped outside of the lock.
    pub(super) fn look(
        &mut self,
        reader: &mut Reader,
        is_authority: bool,
        limit: Limit,
        waker: Option<&Waker>,
        stale: &mut Vec<Waker>,
        out: impl FnMut(&Frame),
    ) -> Look {
        if self.is_closed {
            return Look::Closed;
        }
        let is_same = reader.place.generation == Some(self.generation);
        if !is_same && reader.place.generation.is_some() && !reader.has_asked() {
            // It was not the reader that fell behind.
            reader.set_asked(Asked::Here);
        }
        if !is_same && let Some(answer) = self.prove(reader, is_authority) {
            return answer;
        }

        let history = &self.history;
        let policy = reader.rules.policy;
        let is_complete = history.is_complete(&reader.keys, reader.place.offset);
        let is_complete_per_key = is_complete
            || (policy.slow() == Slow::LatestPerKey
                && history.is_complete_per_key(&reader.keys, reader.place.offset));
        if reader.has_asked() && is_authority && !is_complete_per_key {
            let is_to_head = reader.is_to_latest();
            return self.gap(reader, GapReason::Trimmed, is_to_head);
        }

        let next = if is_complete && policy.is_unbounded() {
            Move::Read
        } else {
            let lag = reader.lag(history.total(&reader.keys));
            policy.decide(Situation {
                lag_events: lag.events,
                lag_bytes: lag.bytes,
                // What is not here may still be in the broker, and nothing is lost then.
                is_complete: is_complete || !is_authority,
                is_complete_per_key,
                was_live: reader.was_live,
            })
        };
        if !is_authority && !is_complete && matches!(next, Move::Read | Move::GapThenRest) {
            return Look::Deep(None);
        }
        reader.take_asked();
        let run = match next {
            Move::Read => history.read(&reader.keys, reader.place.offset, limit, out),
            Move::ReadLatest => history.read_latest(&reader.keys, reader.place.offset, limit, out),
            Move::GapThenRest => return self.gap(reader, GapReason::Lag, false),
            Move::GapThenLatest => return self.gap(reader, GapReason::Lag, true),
            Move::Disconnect => return Look::Disconnect,
        };
        if run.last.is_none()
            && let Some(waker) = waker
        {
            self.register(reader, waker, stale);
        }
        advance(self, reader, &run, next)
    }

    /// Checks that the reader's place is one of this history; notes that, or says what to do instead.
    fn prove(&self, reader: &mut Reader, is_authority: bool) -> Option<Look> {
        let history = &self.history;
        let place = &mut reader.place;
        let anchor = match place.tag {
            Some(_) => match history.anchor(&place.cursor()) {
                Anchor::Older if history.is_last_removed(&reader.keys, &place.cursor()) => {
                    Anchor::Proven
                }
                anchor => anchor,
            },
            // A place that the log chose needs no record, only the same history.
            None if place.epoch != history.epoch() => Anchor::Lost(GapReason::Epoch),
            None if place.offset > history.head() => Anchor::Ahead,
            None if place.offset < history.floor() => Anchor::Older,
            None => Anchor::Proven,
        };
        match anchor {
            Anchor::Proven => {
                place.generation = Some(self.generation);
                place.seen = history
                    .is_complete(&reader.keys, place.offset)
                    .then(|| history.seen_at(&reader.keys, place.offset));
                None
            }
            Anchor::Lost(reason) if is_authority => {
                place.seen = None;
                Some(self.gap(reader, reason, reader.is_to_latest()))
            }
            // This node may lag behind or hold an earlier epoch: the broker decides.
            Anchor::Lost(_) | Anchor::Older => Some(Look::Deep(None)),
            Anchor::Ahead => Some(Look::Ahead),
        }
    }

    /// Tells a reader a gap, and moves it to where that ends.
    pub(super) fn gap(&self, reader: &mut Reader, reason: GapReason, is_to_head: bool) -> Look {
        let asked = reader.take_asked();
        let is_start = asked == Some(Asked::Start);
        let asked = match asked {
            Some(Asked::After(text)) => text,
            _ => reader.place.cursor().to_string().into(),
        };
        let seen = reader.place.seen;
        let mut gap = self
            .history
            .gap(reason, Some(&asked), &reader.keys, seen, is_to_head);
        if is_start {
            gap.asked = None;
        }
        reader.place = match is_to_head {
            true => self.head_place(&reader.keys),
            false => self.floor_place(&reader.keys),
        };
        Look::Gap(gap)
    }
}

/// Moves the reader behind what it got.
fn advance(state: &State, reader: &mut Reader, run: &Run, next: Move) -> Look {
    match run.last {
        Some(last) if run.is_cut => {
            reader.place.move_to(last);
            reader.place.seen = match (next, reader.place.seen) {
                (Move::Read, Some(seen)) => Some(Seen {
                    events: seen.events + run.count.events,
                    bytes: seen.bytes + run.count.bytes,
                }),
                _ => None,
            };
            Look::Frames
        }
        // Nothing more: the place behind the head is as good as the last frame's, and stays provable for longer.
        Some(_) => {
            reader.place = state.head_place(&reader.keys);
            Look::Frames
        }
        None => {
            if reader.place.offset != state.history.head() || reader.place.seen.is_none() {
                reader.place = state.head_place(&reader.keys);
            }
            reader.was_live = true;
            Look::CaughtUp
        }
    }
}
