//! The settings of a stream: those of one response, and the defaults of an application.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bellwether_topics::GAP_EVENT_NAME;
use bellwether_wire::{EventName, ServerSentEvent, event_name};
use bytes::Bytes;

use super::StreamError;
use crate::error_page;

/// What happens to a stream when the server begins to stop.
///
/// ```
/// use bellwether::{OnStop, ServerEventsResponse, ServerSentEvent, stream};
///
/// let answer = stream!( yield ServerSentEvent::text("a long answer"); );
/// let response = ServerEventsResponse::new(answer).on_stop(OnStop::LetFinish);
/// # drop(response);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnStop {
    /// The stream ends on an event boundary, at a moment of its own within the drain window. Its `retry:`
    /// tells the client when to reconnect. A generator that calls `is_stopping()` is left to end on its own
    /// until the window closes.
    #[default]
    EndSoon,
    /// The stream runs to its own end, at most until the drain window closes. This is for an answer that
    /// another server cannot continue.
    LetFinish,
}

/// The event that gives a reader without an id its first one.
const OPEN_EVENT_NAME: EventName = event_name!("bellwether.open");

/// What is sent while a stream is idle.
#[derive(Debug, Clone)]
pub(crate) struct KeepAlive {
    /// Sent when nothing else was for this long.
    pub(crate) interval: Duration,
    /// The bytes of one keep-alive.
    pub(crate) bytes: Bytes,
}

impl KeepAlive {
    /// A comment line alone. Without a blank line after it no client sees an empty message.
    pub(crate) const COMMENT: Bytes = Bytes::from_static(b":\n");
}

/// How an error in the middle of a stream is written.
pub(crate) type ErrorEvent = Arc<dyn Fn(&StreamError) -> ServerSentEvent + Send + Sync>;

/// The settings of one stream.
#[derive(Clone)]
pub(crate) struct StreamOptions {
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) retry: Option<Duration>,
    pub(crate) finish: bool,
    pub(crate) on_stop: OnStop,
    pub(crate) head_wait: Duration,
    pub(crate) leave_grace: Duration,
    pub(crate) error_name: Option<EventName>,
    pub(crate) error_event: Option<ErrorEvent>,
    pub(crate) show_error_details: bool,
    /// The name of the event that reports a gap; without one, gaps are not reported.
    pub(crate) gap_name: Option<EventName>,
    /// The name of the event that gives a reader without an id its first one; without a name it is not sent.
    pub(crate) open_name: Option<EventName>,
    /// Whether the delivery engine may take the stream.
    pub(crate) engine: bool,
}

impl StreamOptions {
    /// Appends the event that reports an error, unless that is switched off.
    pub(crate) fn write_error(&self, error: &StreamError, out: &mut Vec<u8>) {
        let event = match (&self.error_event, &self.error_name) {
            (Some(make), _) => Some(make(error)),
            (None, Some(name)) => {
                let (_, data) = error_page::in_band(error, self.show_error_details);
                Some(ServerSentEvent::json(data).event(name.clone()))
            }
            (None, None) => None,
        };
        // An error event that cannot be encoded is left out; the cut tells enough.
        let _ = event.map(|event| event.encode_into(out));
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOptions")
            .field("keep_alive", &self.keep_alive)
            .field("retry", &self.retry)
            .field("finish", &self.finish)
            .field("on_stop", &self.on_stop)
            .field("head_wait", &self.head_wait)
            .field("leave_grace", &self.leave_grace)
            .field("error_name", &self.error_name)
            .field("gap_name", &self.gap_name)
            .field("open_name", &self.open_name)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Settings that hold for every stream of an application unless its response says otherwise.
///
/// Give it to [`Application::streams`](crate::Application::streams). Each setter is usable alone.
///
/// ```
/// use std::time::Duration;
/// use bellwether::{Application, StreamDefaults};
///
/// let defaults = StreamDefaults::new().keep_alive(Duration::from_secs(30));
/// let application: Application = Application::new().streams(defaults);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct StreamDefaults {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) head_wait: Duration,
    pub(crate) leave_grace: Duration,
    pub(crate) show_error_details: bool,
    pub(crate) engine: bool,
    /// Whether a reader without an id is given one at the beginning.
    pub(crate) opens: bool,
    /// The options of streams whose responses set nothing, made once.
    shared: CachedOptions,
}

/// Not part of what the defaults are: left behind when they are cloned or changed.
#[derive(Default)]
struct CachedOptions(OnceLock<Arc<StreamOptions>>);

impl Clone for CachedOptions {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl StreamDefaults {
    /// Keep-alive interval: under the idle limits of common proxies (60 s), as the standard advises
    /// (WHATWG HTML, section 9.2.7).
    pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
    /// How long the response head waits for the first item.
    pub const HEAD_WAIT: Duration = Duration::from_millis(100);
    /// The moment given to a generator that holds its `Request` when its client has left.
    pub const LEAVE_GRACE: Duration = Duration::from_secs(5);

    /// The defaults as they are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Interval after which an idle stream sends a comment. Default: 15 s.
    ///
    /// Any sent event restarts the interval. The first comment of a stream comes at a random time between
    /// half and the whole interval, so that streams opened together do not send together. With an interval
    /// longer than a proxy's idle limit, the proxy cuts idle streams. A very short interval costs processor
    /// time: at 10 ms, ten thousand idle streams cost a core. Values below 10 ms count as 10 ms.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// Sends nothing on idle streams.
    ///
    /// A peer that vanished behind a dead network is then noticed only by the next event, and a proxy may cut
    /// the stream at its idle limit.
    #[must_use]
    pub fn no_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }

    /// Maximum time that the response head waits for the first item. Default: 100 ms.
    ///
    /// An error within this time reaches the client with its real status. A stream whose first item takes
    /// longer is opened at the end of the wait, and a later error is sent as an event. Zero uses only an item
    /// that is ready at once. A longer time delays the `open` event of every stream whose first item is late.
    #[must_use]
    pub fn head_wait(mut self, wait: Duration) -> Self {
        self.head_wait = wait;
        self
    }

    /// Time for the clean-up of a generator that holds its `Request` when the client has disconnected.
    /// Default: 5 s.
    ///
    /// The generator runs on for at most this long, and its items are dropped. Zero drops it where it stands,
    /// like every generator that does not hold its `Request`. A long time keeps what the generators of
    /// departed clients hold.
    #[must_use]
    pub fn leave_grace(mut self, grace: Duration) -> Self {
        self.leave_grace = grace;
        self
    }

    /// Sends no `bellwether.open` to readers of subscriptions.
    ///
    /// By default, a reader without an id for which no event is ready first gets an event `bellwether.open`. The
    /// `id:` of that event is the reader's position, and its data `{"keep_alive_ms":15000}` is the keep-alive
    /// interval. Without the event, a reader that is cut before its first event misses what is published until it has
    /// reconnected, and cannot know that. Switch it off for clients that pass every event to the application,
    /// whatever its name.
    #[must_use]
    pub fn no_open_event(mut self) -> Self {
        self.opens = false;
        self
    }

    /// Sends subscriptions as any other stream: by a task and a buffer for each connection.
    ///
    /// By default, where the system is Linux, a subscription on HTTP/1.1 over TCP, plain or under TLS, is sent by the
    /// delivery engine: a few tasks write the shared bytes of each event to all its readers, through whatever layers the
    /// application has. It costs a fraction of the memory and of the time; what clients see is the same. Under TLS the
    /// response says `Connection: close`, and the connection serves no further request.
    #[must_use]
    pub fn no_engine(mut self) -> Self {
        self.engine = false;
        self
    }

    /// The options of a stream whose response sets nothing.
    pub(crate) fn options(&self) -> Arc<StreamOptions> {
        Arc::clone(self.shared.0.get_or_init(|| Arc::new(self.make_options())))
    }

    fn make_options(&self) -> StreamOptions {
        StreamOptions {
            keep_alive: self.keep_alive.map(|interval| KeepAlive {
                interval,
                bytes: KeepAlive::COMMENT,
            }),
            retry: None,
            finish: false,
            on_stop: OnStop::default(),
            head_wait: self.head_wait,
            leave_grace: self.leave_grace,
            error_name: Some(event_name!("bellwether.error")),
            error_event: None,
            show_error_details: self.show_error_details,
            gap_name: Some(GAP_EVENT_NAME),
            open_name: self.opens.then_some(OPEN_EVENT_NAME),
            engine: self.engine,
        }
    }
}

impl Default for StreamDefaults {
    fn default() -> Self {
        Self {
            keep_alive: Some(Self::KEEP_ALIVE),
            head_wait: Self::HEAD_WAIT,
            leave_grace: Self::LEAVE_GRACE,
            show_error_details: false,
            engine: true,
            opens: true,
            shared: CachedOptions::default(),
        }
    }
}

impl fmt::Debug for StreamDefaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDefaults")
            .field("keep_alive", &self.keep_alive)
            .field("head_wait", &self.head_wait)
            .field("leave_grace", &self.leave_grace)
            .field("show_error_details", &self.show_error_details)
            .field("engine", &self.engine)
            .field("opens", &self.opens)
            .finish()
    }
}
