//! The scenarios that each client goes through, and the observations in each.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::driver::{Driver, Heard};
use super::list::{Client, Home, Kind};
use super::side::{Side, Which};
use crate::payload::{EVENTS, LAST, LINES, TEXT, numbers};
use crate::server::RETRY;
use crate::tcp_proxy::{Cut, Request};

/// Something that happens to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// Events with ids, one of several lines, one of several scripts.
    Plain,
    /// Six seconds in which only keep-alives come.
    KeepAlive,
    /// Seven seconds in which nothing comes.
    Silence,
    /// A stream that ends, with a `retry:`.
    Retry,
    /// An id of another history.
    Gap,
    /// A stream that fails.
    Error,
    /// A complete stream, and 204 for a client that comes back.
    Finish,
    /// A deployment in the middle: SIGTERM.
    Drain,
    /// Connections that end within an event: in its data, and in what follows it.
    Cut,
    /// A server that is killed, and another on the same log.
    Restart,
    /// An answer of a chat model.
    Chat,
    /// An answer of a chat model that fails on the way.
    ChatError,
}

/// The observation of a client in a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) heard: Heard,
    /// The data that it should have got, in order.
    pub(crate) expected: Vec<String>,
    pub(crate) requests: Vec<Request>,
}

impl Scenario {
    /// Those for clients of this kind, against this server: the minimal one tells neither gaps nor errors.
    pub(crate) fn of(kind: Kind, which: Which) -> &'static [Self] {
        use Scenario::{
            Chat, ChatError, Cut, Drain, Error, Finish, Gap, KeepAlive, Plain, Restart, Retry,
            Silence,
        };
        match (kind, which) {
            (Kind::OpenAi | Kind::Anthropic, Which::Bellwether) => &[Chat, ChatError],
            (Kind::OpenAi | Kind::Anthropic, Which::Minimal) => &[Chat],
            (_, Which::Bellwether) => &[
                // The longest first.
                Finish, Silence, KeepAlive, Drain, Restart, Cut, Plain, Retry, Gap, Error,
            ],
            (_, Which::Minimal) => &[Silence, KeepAlive, Drain, Restart, Cut, Plain],
        }
    }

    /// Runs the scenario with the client; the error is why it cannot be started.
    pub(crate) async fn run(
        self,
        client: &Client,
        which: Which,
        is_shown: bool,
    ) -> Result<Seen, String> {
        let side = Side::start(which).await;
        if self == Self::Cut {
            side.tcp_proxy.plan(cuts(which));
        }
        let driver = Driver::start(&client.command(&side.url(&self.path()))?, is_shown)?;
        let mut trial = Trial {
            side,
            driver,
            expected: Vec::new(),
        };
        trial.started().await;
        match self {
            Self::Plain => {
                let mut texts = numbers(1, EVENTS);
                texts.extend([LINES, TEXT, LAST].map(str::to_owned));
                trial.publish(texts).await;
                trial.arrived().await;
            }
            Self::KeepAlive => trial.pause(Duration::from_secs(6)).await,
            Self::Silence => trial.pause(Duration::from_secs(7)).await,
            Self::Retry => trial.requested(4, Duration::from_secs(15)).await,
            Self::Gap => {
                trial.publish(numbers(1, 3)).await;
                trial.arrived().await;
            }
            Self::Error => {
                trial.expected = numbers(1, 2);
                trial.arrived().await;
                trial.requested(2, Duration::from_secs(15)).await;
                // A busy browser may send its next request before its page has reported what it got.
                trial.wait_for_message("bellwether.error").await;
            }
            Self::Finish => {
                trial.expected = numbers(1, 3);
                trial.ended(Duration::from_secs(60)).await;
            }
            Self::Cut => {
                // One by one, as they would come; a client that comes back gets the rest at once.
                for number in 1..=EVENTS {
                    trial.publish(numbers(number, number)).await;
                    trial.reached(number.min(2)).await;
                }
                trial.arrived().await;
            }
            Self::Drain | Self::Restart => {
                trial.publish(numbers(1, 8)).await;
                trial.arrived().await;
                match self {
                    Self::Drain => trial.side.restart().await,
                    _ => trial.side.kill().await,
                }
                trial.publish(numbers(9, EVENTS)).await;
                trial.arrived().await;
            }
            Self::Chat | Self::ChatError => trial.ended(Duration::from_secs(20)).await,
        }
        Ok(trial.close(matches!(client.home, Home::Browser(_))).await)
    }

    /// The route, from the root.
    fn path(self) -> String {
        match self {
            Self::KeepAlive => "/quiet/bells".to_owned(),
            Self::Retry => "/once".to_owned(),
            Self::Error => "/failing".to_owned(),
            Self::Finish => "/answer".to_owned(),
            // Of the first kind of ids, and of a history that this server does not have.
            Self::Gap => "/topic/bells?last_event_id=1.LD8Uu5pPTw6.1.4VZt90".to_owned(),
            Self::Chat => String::new(),
            Self::ChatError => "/failing".to_owned(),
            Self::Plain | Self::Silence | Self::Drain | Self::Cut | Self::Restart => {
                "/topic/bells".to_owned()
            }
        }
    }
}

/// Where connections break: at the end of an event's data, behind its line, within its id.
fn cuts(which: Which) -> [Cut; 3] {
    let cut = |number: usize, bytes| Cut {
        text: format!("\"number\":{number},\"price\":\"12.50\"}}"),
        bytes,
    };
    let within_the_id = match which {
        // Which Bellwether writes last.
        Which::Bellwether => cut(13, 9),
        Which::Minimal => Cut {
            text: "\nid: 13".to_owned(),
            bytes: 0,
        },
    };
    [cut(3, 0), cut(8, 1), within_the_id]
}

/// A scenario that goes on.
struct Trial {
    side: Side,
    driver: Driver,
    expected: Vec<String>,
}

/// The time that a client has for what it gets: some wait long before they come back.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long it may take to start.
const START: Duration = Duration::from_secs(120);

/// The interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl Trial {
    /// Waits until this is true of what was heard and of the number of requests, for at most this long.
    async fn until(&mut self, patience: Duration, enough: impl Fn(&Heard, usize) -> bool) {
        let seen = async {
            while !enough(&self.driver.heard(), self.stream_requests().len()) {
                sleep(CHECK_INTERVAL).await;
            }
        };
        let _ = timeout(patience, seen).await;
    }

    /// Waits until the client has asked for its stream: on a busy machine that may take a browser long.
    async fn started(&mut self) {
        self.until(START, |heard, requests| requests > 0 || heard.end.is_some())
            .await;
    }

    async fn publish(&mut self, texts: Vec<String>) {
        self.side.publish("bells", &texts).await;
        self.expected.extend(texts);
    }

    /// An event, then for this time only the server's own keep-alives, then another event.
    async fn pause(&mut self, duration: Duration) {
        self.publish(numbers(1, 1)).await;
        self.arrived().await;
        sleep(duration).await;
        self.publish(numbers(2, 2)).await;
        self.arrived().await;
    }

    /// Waits until all that is expected has come, or the client is at its end, or long enough.
    async fn arrived(&mut self) {
        let expected = self.expected.clone();
        self.until(MAX_WAIT, |heard, _| {
            let has = |text: &String| heard.events.iter().any(|event| event.data == *text);
            heard.end.is_some() || expected.iter().all(has)
        })
        .await;
        // What comes twice comes at once.
        sleep(Duration::from_millis(300)).await;
    }

    /// Waits until this number of events is there: the client reads, and what follows is live for it.
    async fn reached(&mut self, count: usize) {
        self.until(MAX_WAIT, |heard, _| {
            heard.end.is_some() || heard.events.len() >= count
        })
        .await;
    }

    /// Waits until an event of this name is there, or the client is at its end, or long enough.
    async fn wait_for_message(&mut self, name: &str) {
        self.until(MAX_WAIT / 3, |heard, _| {
            heard.end.is_some() || heard.events.iter().any(|event| event.event == name)
        })
        .await;
    }

    /// Waits for this number of requests, for at most this long, or until the client is at its end.
    async fn requested(&mut self, count: usize, patience: Duration) {
        self.until(patience, |heard, requests| {
            requests >= count || heard.end.is_some()
        })
        .await;
        // Some clients report their end, and come back.
        sleep(2 * RETRY).await;
    }

    /// Waits until the client reports its end, for at most this time.
    async fn ended(&mut self, patience: Duration) {
        self.until(patience, |heard, _| heard.end.is_some()).await;
        // Whether it stays ended.
        sleep(2 * RETRY).await;
    }

    fn stream_requests(&self) -> Vec<Request> {
        let requests = self.side.tcp_proxy.requests().into_iter();
        requests
            .filter(|request| is_of_stream(&request.head))
            .collect()
    }

    async fn close(self, is_browser: bool) -> Seen {
        let requests = self.stream_requests();
        let heard = self.driver.stop(is_browser).await;
        Seen {
            heard,
            expected: self.expected,
            requests,
        }
    }
}

/// Browsers ask for their page and its icon too.
fn is_of_stream(head: &str) -> bool {
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    !path.starts_with("/page") && !path.starts_with("/favicon")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_no_request_for_a_stream() {
        assert!(is_of_stream("GET /topic/bells HTTP/1.1\r\nhost: x"));
        assert!(!is_of_stream("GET /page?url=/topic/bells HTTP/1.1"));
        assert!(!is_of_stream("GET /favicon.ico HTTP/1.1"));
    }
}
