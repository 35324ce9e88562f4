//! What most subscriptions do not have: a filter, an expiry, and a question to the broker.
//!
//! At most one question to the broker is under way, and at most one page of its answer waits. No question is asked while
//! a page waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

use crate::broker::catch_up::Answer;
use crate::event::delivery::Delivery;
use crate::event::frame::Frame;
use crate::log::history::Limit;
use crate::read::subscribe::Filter;

#[derive(Default)]
pub(crate) struct Extras {
    filter: Option<Filter>,
    expires_at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    broker_answer: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    page: VecDeque<Frame>,
    /// Whether a page has arrived since [`take_had_page`](Self::take_had_page) was last called.
    had_page: bool,
}

impl Extras {
    pub(crate) fn new(filter: Option<Filter>, expires_at: Option<Instant>) -> Option<Box<Self>> {
        (filter.is_some() || expires_at.is_some()).then(|| {
            Box::new(Self {
                filter,
                expires_at,
                ..Self::default()
            })
        })
    }

    pub(super) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Removes the events that the filter rejects from what was appended since `start`.
    pub(super) fn apply_filter(&self, start: usize, out: &mut Vec<Delivery>) {
        let Some(filter) = &self.filter else {
            return;
        };
        let mut kept = start;
        for index in start..out.len() {
            if out[index].frame().is_some_and(filter) {
                out.swap(kept, index);
                kept += 1;
            }
        }
        out.truncate(kept);
    }

    // --- Expiry ---

    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Ready at the expiry, at which it also wakes the task.
    pub(super) fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.expires_at else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
        timer.as_mut().poll(cx)
    }

    // --- The broker ---

    /// Keeps a question to the broker that is under way.
    pub(super) fn await_answer(&mut self, answer: impl Future<Output = Answer> + Send + 'static) {
        self.broker_answer = Some(Box::pin(answer));
    }

    /// Whether the broker was asked and has not answered yet.
    pub(super) fn awaits_answer(&self) -> bool {
        self.broker_answer.is_some()
    }

    /// The broker's answer. Pending too if nothing was asked.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(broker_answer) = &mut self.broker_answer else {
            return Poll::Pending;
        };
        let answer = ready!(broker_answer.as_mut().poll(cx));
        self.broker_answer = None;
        Poll::Ready(answer)
    }

    pub(super) fn put_page(&mut self, page: VecDeque<Frame>) {
        self.page = page;
        self.had_page = true;
    }

    pub(super) fn take_had_page(&mut self) -> bool {
        std::mem::take(&mut self.had_page)
    }

    pub(super) fn has_page(&self) -> bool {
        !self.page.is_empty()
    }

    /// Appends events of the page, as many as the limit allows and at least one.
    pub(super) fn take_page(&mut self, limit: Limit, out: &mut Vec<Delivery>) {
        let start = out.len();
        let mut bytes = 0;
        while let Some(frame) = self.page.front() {
            bytes += frame.len();
            let count = out.len() - start;
            if count > 0 && (count >= limit.events || bytes > limit.bytes) {
                break;
            }
            out.extend(self.page.pop_front().map(Delivery::Event));
        }
    }
}
