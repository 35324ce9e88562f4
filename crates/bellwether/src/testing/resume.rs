//! [`check_resume`]: the law of resuming, held against a handler.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use axum::Router;
use axum::body::Body;
use bellwether_wire::Message;
use http::{Request, StatusCode};

use super::app::{App, oneshot, set_last_event_id};
use super::reader::End;

/// Checks that a reader can leave after any id and loses nothing: when it comes back with that id, it gets exactly the
/// events that followed it, in order, once each.
///
/// A first reader takes `count` events, or all until the end. Then one reader comes back for each id that it has seen,
/// the one of the opening event of a subscription included, and has to get the rest: the same names, data and ids. Where
/// the first stream ended, the others must end at the same place, and a 204 counts as an end. Gives the number of
/// readers that came back.
///
/// `request` makes the first request; the id is put into it as `Last-Event-ID`. Everything the handler reads (topics, a
/// database) has to stay as it is between the readers, or to grow at its end.
///
/// ```
/// use bellwether::testing::{check_resume, request};
/// use bellwether::{LastEventId, ServerSentEvent, Stream, stream};
///
/// fn count(last: LastEventId) -> impl Stream<Item = ServerSentEvent> {
///     let next = last.parse::<u64>().map_or(0, |seen| seen + 1);
///     stream!( for number in next..10 { yield ServerSentEvent::json(number).id(number); } )
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let router = axum::Router::new().route("/count", bellwether::get(count));
/// assert_eq!(check_resume(router, || request("/count"), 100).await?, 10);
/// # Ok::<(), bellwether::testing::ResumeError>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// [`ResumeError`], whose message names the id, what should have come after it and what came: a refused request, no ids at
/// all, one id on two events, an event too many, too few, or another one, a stream that is cut or silent for ten seconds
/// ([`End`]).
pub async fn check_resume(
    app: impl App,
    request: impl Fn() -> Request<Body>,
    count: usize,
) -> Result<usize, ResumeError> {
    let router = app.into_test_router();
    let first = read(&router, request(), count).await?;
    let places = places(&first)?;
    for (id, rest) in &places {
        let mut again = request();
        set_last_event_id(&mut again, id);
        let rest = &first.events[*rest..];
        // One more than expected where there is an end, so that an event too many is seen.
        let count = rest.len() + usize::from(first.has_ended);
        let seen = read(&router, again, count)
            .await
            .map_err(|error| ResumeError(format!("after the id {id:?}: {error}")))?;
        compare(id, rest, &seen.events)?;
    }
    Ok(places.len())
}

/// What one reader got.
struct Seen {
    opened_at: Option<String>,
    events: Vec<Message>,
    has_ended: bool,
}

async fn read(router: &Router, request: Request<Body>, count: usize) -> Result<Seen, ResumeError> {
    let mut response = oneshot(router, request).await;
    match response.status() {
        StatusCode::OK | StatusCode::NO_CONTENT => {}
        status => return Err(ResumeError(format!("the response is {status}"))),
    }
    let events = response.read_events(count).await;
    match response.end() {
        Some(End::Silent) => {
            let came = events.len();
            return Err(ResumeError(format!(
                "only {came} of {count} events have come"
            )));
        }
        Some(End::Cut) => {
            let came = events.len();
            return Err(ResumeError(format!(
                "the stream was cut after {came} events"
            )));
        }
        _ => {}
    }
    Ok(Seen {
        opened_at: response
            .reader
            .opened_at
            .as_ref()
            .map(|id| id.as_str().to_owned()),
        has_ended: events.len() < count,
        events,
    })
}

/// Each id that a reader may come back with, and the number of events that it has seen by then.
fn places(seen: &Seen) -> Result<Vec<(String, usize)>, ResumeError> {
    let mut places = Vec::new();
    places.extend(seen.opened_at.iter().map(|id| (id.clone(), 0)));
    let mut known: BTreeSet<&str> = seen.opened_at.iter().map(String::as_str).collect();
    let mut last = seen.opened_at.as_deref().unwrap_or_default();
    for (at, event) in seen.events.iter().enumerate() {
        let id = event.last_event_id.as_str();
        // An event without an id of its own carries the one before it: there is no place behind it.
        if id == last {
            continue;
        }
        if !id.is_empty() && !known.insert(id) {
            return Err(ResumeError(format!("two events have the id {id:?}")));
        }
        last = id;
        if !id.is_empty() {
            places.push((id.to_owned(), at + 1));
        }
    }
    match places.is_empty() {
        true => Err(ResumeError(format!(
            "none of {} events has an id",
            seen.events.len()
        ))),
        false => Ok(places),
    }
}

fn compare(id: &str, rest: &[Message], seen: &[Message]) -> Result<(), ResumeError> {
    let longest = rest.len().max(seen.len());
    for at in 0..longest {
        let (expected, found) = (rest.get(at), seen.get(at));
        if expected != found {
            return Err(ResumeError(format!(
                "after the id {id:?}: event {} should be {}, found {}",
                at + 1,
                Shown(expected),
                Shown(found)
            )));
        }
    }
    Ok(())
}

/// An event in a message.
struct Shown<'a>(Option<&'a Message>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("the end"),
            Some(message) => write!(
                f,
                "{} {:?} with the id {:?}",
                message.event, message.data, message.last_event_id
            ),
        }
    }
}

/// A handler does not keep the law of [`check_resume`]; the message says where.
#[derive(Debug)]
pub struct ResumeError(String);

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ResumeError {}
