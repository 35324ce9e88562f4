//! A scripted HTTP/1 server: sends exactly these bytes at these moments, ends as the script says, and records the
//! requests.
//!
//! Over TCP, for browsers and other processes, and over pipes in memory, where nothing but tokio's clock passes time: a
//! test that pauses it sees the very delays of a client.

mod answer;
mod pipe;
mod request;
mod serve;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::deadline::{TEST_TIMEOUT, within};

pub use self::answer::Answer;
pub use self::pipe::Pipe;
pub use self::request::SeenRequest;

/// Gives one [`Answer`] for each request, in order, whatever the path; when there are no more, 204.
///
/// All connections end when the last handle is dropped.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use bellwether_testkit::{Answer, RawClient, ScriptedServer};
///
/// let server = ScriptedServer::new([Answer::event_stream().send("data: 1\n\n").cut()]);
/// let mut client = RawClient::over(server.connect().unwrap());
/// client.get("/events", &[("last-event-id", "7")]).await;
///
/// assert_eq!(client.read_head().await.status, 200);
/// assert_eq!(client.read_body_chunk().await.unwrap(), "data: 1\n\n");
/// assert!(client.read_body_chunk().await.is_err());
/// assert_eq!(server.requests()[0].header("last-event-id"), Some("7"));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct ScriptedServer {
    shared: Arc<Shared>,
    /// Guards the connections' tasks while one is added; they end with the last handle.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// What handles and connections share.
#[derive(Debug)]
struct Shared {
    /// Guards the script and the requests; held for no longer than one lookup.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    repeats_last: bool,
    requests: Vec<SeenRequest>,
    /// Connections that are open now.
    open: usize,
}

impl ScriptedServer {
    /// A server with this script.
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let state = State {
            answers: answers.into_iter().collect(),
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Notify::new(),
            }),
            tasks: Arc::default(),
        }
    }

    /// Repeats the last answer instead of 204.
    #[must_use]
    pub fn repeat_last(self) -> Self {
        self.shared.state().repeats_last = true;
        self
    }

    /// Adds answers to the end of the script.
    pub fn push(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.state().answers.extend(answers);
    }

    /// A connection in memory.
    ///
    /// # Errors
    ///
    /// The script has [`Answer::refused`] next.
    pub fn connect(&self) -> io::Result<Pipe> {
        if self.shared.takes_refusal() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = Pipe::pair();
        self.spawn(ours);
        Ok(theirs)
    }

    /// Listens on a free port of the loopback interface, and serves until the last handle is dropped.
    ///
    /// A connection that the script refuses is accepted and reset, as TCP offers no more.
    ///
    /// # Panics
    ///
    /// When the machine has no free port.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("the loopback interface has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::clone(&self.shared);
        let accept = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let refused = shared.takes_refusal();
                let set = stream.set_nodelay(true);
                set.expect("a connected socket takes options");
                match refused {
                    true => serve::reset(stream),
                    false => {
                        connections.spawn(serve::serve(stream, shared.enter()));
                    }
                }
            }
        };
        self.tasks().spawn(accept);
        address
    }

    /// The requests so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.state().requests.clone()
    }

    /// Waits until this number of requests have come.
    ///
    /// # Panics
    ///
    /// When they do not come in time.
    pub async fn requested(&self, count: usize) {
        self.until("requests", |state| state.requests.len() >= count)
            .await;
    }

    /// Waits until no connection is open any more.
    ///
    /// # Panics
    ///
    /// When one stays open.
    pub async fn left(&self) {
        self.until("the end of all connections", |state| state.open == 0)
            .await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let wait = async {
            loop {
                // Registered before the check, so that no change in between is lost.
                let changed = self.shared.changed.notified();
                if is_so(&self.shared.state()) {
                    return;
                }
                changed.await;
            }
        };
        if within(TEST_TIMEOUT, wait).await.is_none() {
            let state = self.shared.state();
            panic!(
                "waited {TEST_TIMEOUT:?} for {what}; {} connections are open, and there were {:?}",
                state.open, state.requests
            );
        }
    }

    fn spawn(&self, pipe: Pipe) {
        let serve = serve::serve(pipe, self.shared.enter());
        self.tasks().spawn(serve);
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().expect("no holder of the lock panics")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// The answer to the request that has just come.
    fn answer(&self, request: SeenRequest) -> Answer {
        let mut state = self.state();
        state.requests.push(request);
        let answer = match state.answers.len() {
            1 if state.repeats_last => state.answers.front().cloned(),
            _ => state.answers.pop_front(),
        };
        drop(state);
        self.changed.notify_waiters();
        answer.unwrap_or_else(|| Answer::status(204))
    }

    /// Takes a refusal from the script if that is next.
    fn takes_refusal(&self) -> bool {
        let mut state = self.state();
        let refuses = state.answers.front().is_some_and(Answer::is_refusal);
        if refuses && !(state.repeats_last && state.answers.len() == 1) {
            state.answers.pop_front();
        }
        refuses
    }

    /// Counts a connection for as long as the result lives.
    fn enter(self: &Arc<Self>) -> Presence {
        self.state().open += 1;
        Presence(Arc::clone(self))
    }
}

/// One open connection.
#[derive(Debug)]
struct Presence(Arc<Shared>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.state().open -= 1;
        self.0.changed.notify_waiters();
    }
}
