//! What comes next for a reader, by its position, its policy and what the history has. Pure.

use std::task::Waker;

use super::state::LogState;
use crate::event::frame::Frame;
use crate::event::gap::{Gap, GapReason};
use crate::log::history::{Anchor, Limit, ReadSoFar, Run};
use crate::log::policy::{Decision, Situation, Slow};
use crate::log::position::{Asked, Reader};

/// What comes next for a reader.
#[derive(Debug)]
pub(crate) enum ReadOutcome {
    /// Frames were handed out, and the position moved behind them.
    Frames,
    /// Nothing is new. The waker is registered if there was one.
    CaughtUp,
    /// History is lost; the position has moved to where the gap says.
    Gap(Gap),
    /// The policy ends the reader's stream.
    Disconnect,
    /// The broker must be asked: for what comes before this history, or, with a reason, for where to go on.
    AskBroker(Option<GapReason>),
    /// The position is beyond this node's head.
    Ahead,
    /// The log is closed.
    Closed,
}

impl LogState {
    /// Reads what comes next for a reader, and registers the waker if nothing does. Wakers that this replaces go to
    /// `stale`, to be dropped outside of the lock.
    pub(super) fn read_next(
        &mut self,
        reader: &mut Reader,
        is_authority: bool,
        limit: Limit,
        waker: Option<&Waker>,
        stale: &mut Vec<Waker>,
        out: impl FnMut(&Frame),
    ) -> ReadOutcome {
        if self.is_closed {
            return ReadOutcome::Closed;
        }
        let is_same = reader.position.generation == Some(self.generation);
        if !is_same && reader.position.generation.is_some() && !reader.has_asked() {
            // This node was reset; the reader has not fallen behind.
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

        let decision = if is_complete && policy.is_unbounded() {
            Decision::Read
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
        if !is_authority
            && !is_complete
            && matches!(decision, Decision::Read | Decision::GapThenRest)
        {
            return ReadOutcome::AskBroker(None);
        }
        reader.take_asked();
        let run = match decision {
            Decision::Read => history.read(&reader.keys, reader.position.offset, limit, out),
            Decision::ReadLatest => {
                history.read_latest(&reader.keys, reader.position.offset, limit, out)
            }
            Decision::GapThenRest => return self.gap(reader, GapReason::Lag, false),
            Decision::GapThenLatest => return self.gap(reader, GapReason::Lag, true),
            Decision::Disconnect => return ReadOutcome::Disconnect,
        };
        if run.last.is_none()
            && let Some(waker) = waker
        {
            self.register(reader, waker, stale);
        }
        advance(self, reader, &run, decision)
    }

    /// Checks that the reader's position is one of this history. If so, marks it as proven; if not, returns the
    /// outcome.
    fn prove(&self, reader: &mut Reader, is_authority: bool) -> Option<ReadOutcome> {
        let history = &self.history;
        let position = &mut reader.position;
        let anchor = match position.tag {
            Some(_) => match history.anchor(&position.cursor()) {
                Anchor::Older if history.is_last_removed(&reader.keys, &position.cursor()) => {
                    Anchor::Proven
                }
                anchor => anchor,
            },
            // A position that the log chose needs no record, only the same history.
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
            Anchor::Lost(_) | Anchor::Older => Some(ReadOutcome::AskBroker(None)),
            Anchor::Ahead => Some(ReadOutcome::Ahead),
        }
    }

    /// Gives a reader a gap, and moves it to the gap's end.
    pub(super) fn gap(
        &self,
        reader: &mut Reader,
        reason: GapReason,
        is_to_head: bool,
    ) -> ReadOutcome {
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
        ReadOutcome::Gap(gap)
    }
}

/// Moves the reader behind what it got.
fn advance(state: &LogState, reader: &mut Reader, run: &Run, decision: Decision) -> ReadOutcome {
    match run.last {
        Some(last) if run.is_cut => {
            reader.position.move_to(last);
            reader.position.seen = match (decision, reader.position.seen) {
                (Decision::Read, Some(seen)) => Some(ReadSoFar {
                    events: seen.events + run.count.events,
                    bytes: seen.bytes + run.count.bytes,
                }),
                _ => None,
            };
            ReadOutcome::Frames
        }
        // There is nothing more. The head's position is as good as the last frame's, and stays provable for longer.
        Some(_) => {
            reader.position = state.head_position(&reader.keys);
            ReadOutcome::Frames
        }
        None => {
            let position = &reader.position;
            let is_known = position.seen.is_some() && position.tag.is_some();
            if position.offset != state.history.head() || !is_known {
                reader.position = state.head_position(&reader.keys);
            }
            reader.was_live = true;
            ReadOutcome::CaughtUp
        }
    }
}
