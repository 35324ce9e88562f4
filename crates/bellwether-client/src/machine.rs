//! The state machine of an event source (WHATWG HTML, section 9.2.3), pure: events and `now` go in, actions
//! and items come out.
//!
//! It opens no connection, reads no clock and never sleeps; [`EventSource`](crate::EventSource) does those for it. The
//! driver asks [`Machine::action`], does that, and reports the outcome by one of the `on_` methods; before each it takes
//! what [`Machine::take_item`] has. Inputs that do not fit the phase are ignored, so a late answer does no harm.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_wire::{Decoder, EventId, EventName, Limits};
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Request, StatusCode};

use crate::backoff::Retry;
use crate::control::{ControlEvent, StreamEnding, silence};
use crate::error::{Error, Kind, Refusal, RefusedFor};
use crate::gap::Gap;
use crate::item::{Item, Message, Opened, State, Waiting};
use crate::location::origin;
use crate::request::{RedirectTarget, RequestTemplate, is_event_stream, is_redirect};
use crate::retry_after::retry_after;
use crate::transport::TransportError;

/// How much of the body of a refusal is kept for the error.
const MAX_REFUSAL_BYTES: usize = 8 * 1024;

/// How long to wait for it: the status alone is worth telling.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);

/// Deadlines that no `Instant` can hold are as good as this.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Settings of a machine, from the builder of an event source.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) template: RequestTemplate,
    pub(crate) retry: Retry,
    pub(crate) reconnects: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_redirects: u32,
    pub(crate) limits: Limits,
    pub(crate) last_event_id: EventId,
    pub(crate) gap_event: Option<EventName>,
}

/// What the driver has to do now. Each action ends with one of the `on_` methods of the [`Machine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send [`Machine::request`] unless it is on its way already; then [`Machine::on_response`] or
    /// [`Machine::on_failure`], or [`Machine::on_time`] at this moment.
    Connect(Instant),
    /// Read the body: [`Machine::on_bytes`] and [`Machine::decode`], [`Machine::on_end`] or [`Machine::on_failure`], or
    /// [`Machine::on_time`] at this moment. Bytes that have arrived come before time that has passed.
    Read(Option<Instant>),
    /// Nothing until this moment, then [`Machine::on_time`]. The connection is to be closed.
    Wait(Instant),
    /// Nothing ever again. The connection is to be closed.
    Stop,
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its body is to be read.
    Read,
    /// It is of no use, for instance a redirect.
    Drop,
}

/// The state of one event source, without I/O and without a clock.
///
/// An [`EventSource`](crate::EventSource) drives one. Simulations and fuzz targets drive it directly: they
/// ask [`action`](Self::action), do that, and report the outcome.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    decoder: Decoder,
    phase: Phase,
    /// Not taken yet; an input adds at most two.
    items: VecDeque<Result<Item, Error>>,
    /// Connections in a row that have brought no event.
    failures: u32,
    /// The present connection has brought an event.
    has_event: bool,
    chance: fastrand::Rng,
}

#[derive(Debug)]
enum Phase {
    Start,
    Connecting {
        target: RedirectTarget,
        until: Instant,
    },
    Open {
        origin: Arc<str>,
        /// How long it may be silent.
        idle: Option<Duration>,
        until: Option<Instant>,
        ending: StreamEnding,
    },
    /// The start of the body of a response that is no stream.
    Refused {
        refusal: Refusal,
        body: Vec<u8>,
        until: Instant,
    },
    Waiting {
        until: Instant,
    },
    Closed,
}

impl Machine {
    /// A machine before its first connection. The same seed and the same inputs give the same outputs.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            decoder: Decoder::with_limits(settings.limits)
                .resume_after(settings.last_event_id.clone()),
            settings,
            phase: Phase::Start,
            items: VecDeque::new(),
            failures: 0,
            has_event: false,
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// What to do now. The first call begins with the first connection.
    pub fn action(&mut self, now: Instant) -> Action {
        if let Phase::Start = self.phase {
            self.connect(now);
        }
        match &self.phase {
            Phase::Start | Phase::Closed => Action::Stop,
            Phase::Connecting { until, .. } => Action::Connect(*until),
            Phase::Open { until, .. } => Action::Read(*until),
            Phase::Refused { until, .. } => Action::Read(Some(*until)),
            Phase::Waiting { until } => Action::Wait(*until),
        }
    }

    /// The next item, in order. An `Err` is the last.
    pub fn take_item(&mut self) -> Option<Result<Item, Error>> {
        self.items.pop_front()
    }

    /// The request to send, and whether a token may go with it.
    pub fn request(&self) -> Option<(Request<Bytes>, bool)> {
        let Phase::Connecting { target, .. } = &self.phase else {
            return None;
        };
        let request = target.request(&self.settings.template, self.decoder.last_event_id());
        Some((request, target.is_trusted))
    }

    /// The head of a response has arrived; `can_decode` tells whether the driver knows its content coding.
    pub fn on_response(
        &mut self,
        now: Instant,
        status: StatusCode,
        headers: HeaderMap,
        can_decode: bool,
    ) -> Verdict {
        let Phase::Connecting { target, until } = &self.phase else {
            return Verdict::Drop;
        };
        if is_redirect(status) {
            let max = self.settings.max_redirects;
            match target.clone().redirected(status, &headers, max) {
                // One deadline for all hops: a chain of slow redirects is no longer way to a head.
                Ok(target) => {
                    self.phase = Phase::Connecting {
                        target,
                        until: *until,
                    }
                }
                Err(why) => self.close(Err(Kind::Redirect {
                    status,
                    headers,
                    why,
                }
                .into())),
            }
            return Verdict::Drop;
        }
        let why = if status != StatusCode::OK {
            RefusedFor::Status
        } else if !is_event_stream(&headers) {
            RefusedFor::ContentType
        } else if !can_decode {
            RefusedFor::Encoding
        } else {
            let origin = origin(&target.url).into();
            let url = target.url.clone();
            self.decoder.reconnect();
            self.phase = Phase::Open {
                origin,
                idle: self.settings.idle_timeout,
                until: deadline(now, self.settings.idle_timeout),
                ending: StreamEnding::default(),
            };
            self.items
                .push_back(Ok(Item::Open(Opened { url, headers })));
            return Verdict::Read;
        };
        // A body that cannot be read is of no use for an error either.
        let is_readable = can_decode || !headers.contains_key(CONTENT_ENCODING);
        self.phase = Phase::Refused {
            refusal: Refusal {
                status,
                headers,
                body_start: Bytes::new(),
                why,
            },
            body: Vec::new(),
            until: after(now, REFUSAL_PATIENCE),
        };
        if !is_readable || status == StatusCode::NO_CONTENT {
            self.on_end(now);
            return Verdict::Drop;
        }
        Verdict::Read
    }

    /// Bytes have arrived on the connection, whatever they mean.
    pub fn on_bytes(&mut self, now: Instant) {
        if let Phase::Open { idle, until, .. } = &mut self.phase {
            *until = deadline(now, *idle);
        }
    }

    /// Takes decompressed bytes from the front of `input` until there is an item or the input is used up.
    pub fn decode(&mut self, now: Instant, input: &mut &[u8]) {
        match &mut self.phase {
            Phase::Open {
                origin,
                idle,
                until,
                ending,
            } => match self.decoder.decode_ref(input) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    let control = ControlEvent::of(message.event.as_str());
                    if control == Some(ControlEvent::Open) {
                        // Its id is taken already. It is no event: a server that opens every stream and ends it at once
                        // is not to be asked without pause.
                        *idle = silence(&message.data, self.settings.idle_timeout);
                        *until = deadline(now, *idle);
                        return;
                    }
                    if let Some(control) = control {
                        ending.observe(control, &message.data);
                    }
                    if control != Some(ControlEvent::Stopping) {
                        self.failures = 0;
                        self.has_event = true;
                    }
                    let gap = match &self.settings.gap_event {
                        Some(name) if name == message.event => {
                            Gap::read(&message.data, message.last_event_id)
                        }
                        _ => None,
                    };
                    let item = match gap {
                        Some(gap) => Item::Gap(gap),
                        None => Item::Message(Message::new(message, Some(origin))),
                    };
                    self.items.push_back(Ok(item));
                }
                // Not tried again: the server would replay the same event after the same id again and again.
                Err(error) => self.close(Err(error.into())),
            },
            Phase::Refused { body, .. } => {
                let room = MAX_REFUSAL_BYTES - body.len();
                let (taken, _) = input.split_at(room.min(input.len()));
                body.extend_from_slice(taken);
                *input = &[];
                if body.len() == MAX_REFUSAL_BYTES {
                    self.on_end(now);
                }
            }
            _ => *input = &[],
        }
    }

    /// The body has ended as its framing says.
    pub fn on_end(&mut self, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open { ending, .. } => match ending.clean() {
                Ok(()) if !self.settings.reconnects => self.close(Ok(Item::Closed)),
                Ok(()) => self.reconnect(now, None, None),
                Err(error) => self.fail(now, error, None),
            },
            Phase::Refused { refusal, body, .. } => self.refused(now, refusal, body),
            phase => self.phase = phase,
        }
    }

    /// The request has failed, or the body has broken off.
    pub fn on_failure(&mut self, now: Instant, error: impl Into<Failure>) {
        let error = error.into();
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Connecting { .. } if error.is_final => self.close(Err(error.error)),
            Phase::Connecting { .. } => self.fail(now, error.error, None),
            phase @ Phase::Open { .. } if phase.is_finished() => {
                self.phase = phase;
                self.on_end(now);
            }
            Phase::Open { .. } => self.fail(now, error.error, None),
            // What has come of its body is enough.
            Phase::Refused { refusal, body, .. } => self.refused(now, refusal, body),
            phase => self.phase = phase,
        }
    }

    /// Time has passed. Does nothing before the moment that the action names.
    pub fn on_time(&mut self, now: Instant) {
        let timeout = |what, after| Error::from(Kind::Timeout { what, after });
        match &self.phase {
            Phase::Connecting { until, .. } if now >= *until => {
                let error = timeout("no response", self.settings.connect_timeout);
                self.fail(now, error, None);
            }
            Phase::Open {
                until: Some(until),
                idle,
                ending,
                ..
            } if now >= *until => {
                let error = timeout("no byte of the stream arrived", idle.unwrap_or_default());
                match ending.is_finished() {
                    true => self.on_end(now),
                    false => self.fail(now, error, None),
                }
            }
            Phase::Refused { until, .. } if now >= *until => self.on_end(now),
            Phase::Waiting { until } if now >= *until => self.connect(now),
            _ => {}
        }
    }

    /// Ends the source: items that were not taken are dropped, and [`Item::Closed`] is the last item.
    pub fn stop(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.items.clear();
            self.close(Ok(Item::Closed));
        }
    }

    /// State of the source after the items that were taken.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Start | Phase::Connecting { .. } | Phase::Refused { .. } => State::Connecting,
            Phase::Open { .. } => State::Open,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Closed => State::Closed,
        }
    }

    /// The last event id.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    fn connect(&mut self, now: Instant) {
        self.has_event = false;
        self.phase = Phase::Connecting {
            target: RedirectTarget::first(&self.settings.template),
            until: after(now, self.settings.connect_timeout),
        };
        self.items.push_back(Ok(Item::Connecting));
    }

    fn refused(&mut self, now: Instant, mut refusal: Refusal, body: Vec<u8>) {
        refusal.body_start = body.into();
        let is_retried =
            refusal.why == RefusedFor::Status && self.settings.retry.is_retried(refusal.status);
        let floor = retry_after(&refusal.headers);
        let error = Kind::Refused(refusal).into();
        match is_retried {
            true => self.fail(now, error, floor),
            false => self.close(Err(error)),
        }
    }

    fn fail(&mut self, now: Instant, error: Error, floor: Option<Duration>) {
        match self.settings.reconnects {
            true => self.reconnect(now, Some(error), floor),
            false => self.close(Err(error)),
        }
    }

    fn reconnect(&mut self, now: Instant, cause: Option<Error>, floor: Option<Duration>) {
        if !self.has_event {
            self.failures = self.failures.saturating_add(1);
        }
        let retry = &self.settings.retry;
        if let Some(max) = retry.max_failures
            && self.failures >= max
        {
            let gave_up = Kind::GaveUp {
                failures: self.failures,
                last: cause,
            };
            return self.close(Err(gave_up.into()));
        }
        let told = self.decoder.reconnection_time();
        let delay = retry.delay(self.failures, told, floor, self.chance.f64());
        self.phase = Phase::Waiting {
            until: after(now, delay),
        };
        self.items
            .push_back(Ok(Item::Waiting(Waiting { delay, cause })));
    }

    fn close(&mut self, last: Result<Item, Error>) {
        self.phase = Phase::Closed;
        // What the decoder has gathered goes; the id stays readable.
        self.decoder.reconnect();
        self.items.push_back(last.map_err(Error::closed));
    }
}

impl Phase {
    fn is_finished(&self) -> bool {
        matches!(self, Self::Open { ending, .. } if ending.is_finished())
    }
}

/// What ended an attempt or a connection.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    is_final: bool,
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let is_final = error.is_final();
        Self {
            error: Kind::Transport(error).into(),
            is_final,
        }
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self {
            error: kind.into(),
            is_final: false,
        }
    }
}

/// When a silence of this length is over.
fn deadline(now: Instant, idle: Option<Duration>) -> Option<Instant> {
    Some(after(now, idle?))
}

fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration)
        .or_else(|| now.checked_add(FAR))
        .unwrap_or(now)
}
