//! What comes next for a reader, by its position, its policy and what the history has. Pure.

use std::task::Waker;

use super::state::LogState;
use crate::event::frame::Frame;
use crate::event::gap::{Gap, GapReason};
use crate::log::history::{Anchor, Limit, ReadSoFar, Run};
use crate::log::policy::{Move, Situation, Slow};
use crate::log::position::{Asked, Reader};

/// What comes next for a reader.
#[derive(Debug)]
pub(crate) enum Next {
    /// Frames were handed out, and the position moved behind them.
    Frames,
    /// Nothing is new. The waker is registered if there was one.
    CaughtUp,
    /// History is lost; the position has moved to where the gap says.
    Gap(Gap),
    /// The policy says that the reader has to go.
    Disconnect,
    /// The broker has to be asked: for what lies before this history, or, with a reason, for where to go on.
    AskBroker(Option<GapReason>),
    /// The place lies beyond this node's head.
    Ahead,
    /// The log is closed.
    Closed,
}

impl LogState {
    /// Looks for what comes next for a reader, and registers the waker if nothing does. Wakers that this replaces go to
    /// `stale`, to be dropped outside of the lock.
    pub(super) fn next(
        &mut self,
        reader: &mut Reader,
        is_authority: bool,
        limit: Limit,
        waker: Option<&Waker>,
        stale: &mut Vec<Waker>,
        out: impl FnMut(&Frame),
    ) -> Next {
        if self.is_closed {
            return Next::Closed;
        }
        let is_same = reader.position.generation == Some(self.generation);
        if !is_same && reader.position.generation.is_some() && !reader.has_asked() {
            // It was not the reader that fell behind.
            reader.set_asked(Asked::Here);
        }
        if !is_same && let Some(answer) = self.prove(reader, is_authority) {
            return answer;
        }

        let history = &self.history;
        let policy = reader.rules.policy;
        let is_complete = history.is_complete(&reader.keys, reader.position.offset);
        let is_complete_per_key = is_complete
            || (policy.slow() == Slow::LatestPerKey
                && history.is_complete_per_key(&reader.keys, reader.position.offset));
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
            return Next::AskBroker(None);
        }
        reader.take_asked();
        let run = match next {
            Move::Read => history.read(&reader.keys, reader.position.offset, limit, out),
            Move::ReadLatest => {
                history.read_latest(&reader.keys, reader.position.offset, limit, out)
            }
            Move::GapThenRest => return self.gap(reader, GapReason::Lag, false),
            Move::GapThenLatest => return self.gap(reader, GapReason::Lag, true),
            Move::Disconnect => return Next::Disconnect,
        };
        if run.last.is_none()
            && let Some(waker) = waker
        {
            self.register(reader, waker, stale);
        }
        advance(self, reader, &run, next)
    }

    /// Checks that the reader's position is one of this history; notes that, or says what to do instead.
    fn prove(&self, reader: &mut Reader, is_authority: bool) -> Option<Next> {
        let history = &self.history;
        let position = &mut reader.position;
        let anchor = match position.tag {
            Some(_) => match history.anchor(&position.cursor()) {
                Anchor::Older if history.is_last_removed(&reader.keys, &position.cursor()) => {
                    Anchor::Proven
                }
                anchor => anchor,
            },
            // A place that the log chose needs no record, only the same history.
            None if position.epoch != history.epoch() => Anchor::Lost(GapReason::Epoch),
            None if position.offset > history.head() => Anchor::Ahead,
            None if position.offset < history.floor() => Anchor::Older,
            None => Anchor::Proven,
        };
        match anchor {
            Anchor::Proven => {
                position.generation = Some(self.generation);
                position.seen = history
                    .is_complete(&reader.keys, position.offset)
                    .then(|| history.seen_at(&reader.keys, position.offset));
                None
            }
            Anchor::Lost(reason) if is_authority => {
                position.seen = None;
                Some(self.gap(reader, reason, reader.is_to_latest()))
            }
            // This node may lag behind or hold an earlier epoch: the broker decides.
            Anchor::Lost(_) | Anchor::Older => Some(Next::AskBroker(None)),
            Anchor::Ahead => Some(Next::Ahead),
        }
    }

    /// Tells a reader a gap, and moves it to where that ends.
    pub(super) fn gap(&self, reader: &mut Reader, reason: GapReason, is_to_head: bool) -> Next {
        let asked = reader.take_asked();
        let is_start = asked == Some(Asked::Start);
        let asked = match asked {
            Some(Asked::After(text)) => text,
            _ => reader.position.cursor().to_string().into(),
        };
        let seen = reader.position.seen;
        let mut gap = self
            .history
            .gap(reason, Some(&asked), &reader.keys, seen, is_to_head);
        if is_start {
            gap.asked = None;
        }
        reader.position = match is_to_head {
            true => self.head_position(&reader.keys),
            false => self.floor_position(&reader.keys),
        };
        Next::Gap(gap)
    }
}

/// Moves the reader behind what it got.
fn advance(state: &LogState, reader: &mut Reader, run: &Run, next: Move) -> Next {
    match run.last {
        Some(last) if run.is_cut => {
            reader.position.move_to(last);
            reader.position.seen = match (next, reader.position.seen) {
                (Move::Read, Some(seen)) => Some(ReadSoFar {
                    events: seen.events + run.count.events,
                    bytes: seen.bytes + run.count.bytes,
                }),
                _ => None,
            };
            Next::Frames
        }
        // Nothing more: the position behind the head is as good as the last frame's, and stays provable for longer.
        Some(_) => {
            reader.position = state.head_position(&reader.keys);
            Next::Frames
        }
        None => {
            let position = &reader.position;
            let is_known = position.seen.is_some() && position.tag.is_some();
            if position.offset != state.history.head() || !is_known {
                reader.position = state.head_position(&reader.keys);
            }
            reader.was_live = true;
            Next::CaughtUp
        }
    }
}
