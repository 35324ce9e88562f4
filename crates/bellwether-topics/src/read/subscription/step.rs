//! One step of a subscription: an end, an answer of the broker, or a read of the log; without waiting.

use std::collections::VecDeque;
use std::task::Waker;

use super::{FirstRead, MAX_FILTERED_PER_READ, Subscription};
use crate::broker::catch_up::{self, Answer, Question};
use crate::event::delivery::Delivery;
use crate::event::frame::Frame;
use crate::event::gap::{Gap, GapReason, shown};
use crate::log::ReadOutcome;
use crate::log::history::Limit;
use crate::log::policy::Slow;
use crate::log::position::{AfterGap, Asked, Position};
use crate::presence::CloseReason;
use crate::read::resumption::Resumption;

/// What one step led to.
pub(super) enum Step {
    /// This number of deliveries was appended, at least one.
    Some(usize),
    /// The filter rejected everything that was read; there may be more.
    Skipped,
    /// Nothing is new. The waker is registered if there was one.
    CaughtUp,
    /// The broker was asked, and its answer must be awaited.
    Ask,
    Closed,
}

impl Subscription {
    /// The next step. `waker` is registered if nothing is new.
    pub(super) fn step(
        &mut self,
        waker: Option<&Waker>,
        mut limit: Limit,
        out: &mut Vec<Delivery>,
    ) -> Step {
        if self.closed.is_some() {
            return Step::Closed;
        }
        if self.registration.is_kicked() {
            return self.close(CloseReason::Kicked);
        }
        if self.is_last {
            return self.close(CloseReason::Gap);
        }
        if let Some(extras) = &mut self.extras {
            if extras.has_filter() {
                limit.events = limit.events.min(MAX_FILTERED_PER_READ);
            }
            if extras.has_page() {
                let start = out.len();
                extras.take_page(limit, out);
                return self.delivered(start, out);
            }
            if extras.awaits_answer() {
                return Step::Ask;
            }
        }
        if self.first_read == FirstRead::Unchosen
            && let Some(resumption) = Resumption::take()
        {
            self.resume(&resumption);
        }
        if self.first_read == FirstRead::InDoubt
            && let Some(cursor) = self.node.log.cursor_of(&self.reader)
        {
            self.first_read = FirstRead::Next;
            let after_gap = self.reader.after_gap();
            return self.deliver_gap(Gap::in_doubt(cursor), after_gap, out);
        }
        let start = out.len();
        let after_gap = self.reader.after_gap();
        let outcome = match self.first_read {
            FirstRead::AtStart => {
                self.ask(Question::Start);
                return Step::Ask;
            }
            FirstRead::Unknown if self.node.log.is_authority() => {
                self.first_read = FirstRead::Next;
                self.node.log.gap(&mut self.reader, GapReason::Unknown)
            }
            FirstRead::Unknown => ReadOutcome::AskBroker(Some(GapReason::Unknown)),
            // In doubt, the gap is delivered above as soon as the position is known.
            FirstRead::Next | FirstRead::Unchosen | FirstRead::InDoubt => {
                if self.first_read == FirstRead::Unchosen {
                    self.first_read = FirstRead::Next;
                }
                self.node
                    .log
                    .read_next(&mut self.reader, limit, waker, |frame| {
                        out.push(Delivery::Event(frame.clone()));
                    })
            }
        };
        match outcome {
            ReadOutcome::Frames => self.delivered(start, out),
            // A kick marks the registration and then wakes the readers that wait. Both may have happened just before
            // the waker was registered.
            ReadOutcome::CaughtUp if self.registration.is_kicked() => {
                self.close(CloseReason::Kicked)
            }
            ReadOutcome::CaughtUp => Step::CaughtUp,
            ReadOutcome::Gap(gap) => self.deliver_gap(gap, after_gap, out),
            ReadOutcome::Disconnect => self.close(CloseReason::TooSlow),
            ReadOutcome::Closed => self.close(CloseReason::Stopping),
            ReadOutcome::AskBroker(None) => {
                self.reader.was_live = false;
                self.ask(Question::Page);
                Step::Ask
            }
            ReadOutcome::AskBroker(Some(reason)) => {
                self.ask(Question::Gap(reason));
                Step::Ask
            }
            ReadOutcome::Ahead => {
                self.ask(Question::Ahead);
                Step::Ask
            }
        }
    }

    /// Applies the filter to the deliveries that were appended, and counts what is left.
    fn delivered(&mut self, start: usize, out: &mut Vec<Delivery>) -> Step {
        if let Some(extras) = &self.extras {
            extras.apply_filter(start, out);
        }
        let count = out.len() - start;
        let Some(Delivery::Event(oldest)) = out.get(start) else {
            return Step::Skipped;
        };
        self.node.metrics.delivered.increment(count as u64);
        self.record_lag(oldest.entered_at());
        Step::Some(count)
    }

    fn deliver_gap(&mut self, gap: Gap, after_gap: AfterGap, out: &mut Vec<Delivery>) -> Step {
        self.node.metrics.gap(&gap);
        self.is_last = after_gap == AfterGap::Close && gap.reason != GapReason::Lag;
        out.push(Delivery::Gap(gap));
        Step::Some(1)
    }

    fn ask(&mut self, question: Question) {
        let Some(remote) = &self.node.remote else {
            return;
        };
        let extras = self.extras.get_or_insert_default();
        // A reader in the middle of a replay has more to read, as a rule.
        let lookups = match extras.take_had_page() {
            true => None,
            false => Some(remote.lookups.clone()),
        };
        let answer = catch_up::answer(
            remote.broker.clone(),
            remote.catch_up_reads.clone(),
            lookups,
            self.node.log.clone(),
            self.registration.subscriber.topics.clone(),
            self.reader.position,
            question,
        );
        extras.await_answer(answer);
    }

    /// Takes the broker's answer; [`Step::Skipped`] if there is nothing to deliver yet.
    pub(super) fn take_answer(&mut self, answer: Answer, out: &mut Vec<Delivery>) -> Step {
        self.first_read = FirstRead::Next;
        match answer {
            Answer::Page(frames, position) => {
                self.reader.take_asked();
                self.reader.position = position;
                self.extras.get_or_insert_default().put_page(frames);
                Step::Skipped
            }
            Answer::ReadMemory(position) => {
                self.reader.position = position;
                Step::Skipped
            }
            Answer::Gap(gap, frames, position) => self.take_gap(gap, frames, position, out),
        }
    }

    /// Takes a gap of the broker's log. A reader that already had all that it asked for was too slow, so its policy
    /// decides, as in a log that lives here.
    fn take_gap(
        &mut self,
        mut gap: Gap,
        frames: VecDeque<Frame>,
        position: Position,
        out: &mut Vec<Delivery>,
    ) -> Step {
        let was_too_slow = gap.reason == GapReason::Trimmed && !self.reader.has_asked();
        let mut after_gap = self.reader.after_gap();
        if was_too_slow {
            gap.reason = GapReason::Lag;
            after_gap = match self.reader.rules.policy.slow() {
                Slow::Disconnect => return self.close(CloseReason::TooSlow),
                Slow::SkipToLatest => AfterGap::Latest,
                Slow::LatestPerKey => AfterGap::Rest,
            };
        }
        gap.asked = match self.reader.take_asked() {
            Some(Asked::After(text)) => Some(shown(&text)),
            Some(Asked::Start) => None,
            Some(Asked::Here) | None => Some(self.reader.position.cursor().to_string()),
        };
        self.reader.position = position;
        match after_gap {
            AfterGap::Latest => {
                self.reader.position = self.node.log.head_position(&self.reader.keys);
                gap.cursor = self.reader.position.cursor();
            }
            AfterGap::Rest => self.extras.get_or_insert_default().put_page(frames),
            AfterGap::Close => {}
        }
        self.deliver_gap(gap, after_gap, out)
    }
}
