//! `bellwether send`: publishes text to a server, one event per line.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_client::EventName;
use bellwether_client::transport::PersistentConnection;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::runtime::Runtime;

use crate::exit::{self, Failure, NO_CONNECTION, REFUSED, print_error};
use crate::input::Input;
use crate::lines::Lines;
use crate::target::{Target, with_path, with_query};

/// More than any id or reason; the rest of an answer is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Longer than the ids of any server that is known.
const MAX_ID_BYTES: usize = 1024;

/// Publish lines of text, each as one event, and print the ids that they get.
///
/// Each line of standard input (or each --data) is the body of `POST URL/publish?topic=TOPIC`; the server answers 200
/// with the id. Lines go one after the other over one connection, so their order is kept. An empty line is an event
/// with empty data.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo 'hello' | bellwether send http://127.0.0.1:8000 --topic news
  bellwether send :8000 --topic news --data hello --data again
  tail -f app.log | bellwether send :8000 --topic log

Exit codes: 0 every event was published, 1 one was refused, 2 wrong usage, 3 no connection.")]
pub(crate) struct SendArguments {
    #[command(flatten)]
    target: Target,

    /// The topic
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,

    /// The name of the events
    #[arg(short, long, value_name = "NAME")]
    event: Option<EventName>,

    /// Publish this text instead of standard input (repeatable)
    #[arg(short, long, value_name = "TEXT")]
    data: Vec<String>,

    /// How long one answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// The longest line, in bytes; a longer one is refused
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    max_line_bytes: usize,
}

pub(crate) fn run(arguments: &SendArguments) -> Result<ExitCode, Failure> {
    let mut publisher = Publisher::new(arguments)?;
    for (number, text) in (1..).zip(&arguments.data) {
        publisher.publish(number, Bytes::copy_from_slice(text.as_bytes()))?;
    }
    if arguments.data.is_empty() {
        publish_input(&mut publisher, arguments.max_line_bytes)?;
    }
    Ok(match publisher.has_refused {
        true => ExitCode::from(REFUSED),
        false => ExitCode::SUCCESS,
    })
}

fn publish_input(publisher: &mut Publisher, max_bytes: usize) -> Result<(), Failure> {
    let mut input = Input::open(None)?;
    let mut lines = Lines::new(max_bytes);
    loop {
        let piece = input.read()?;
        let is_over = piece.is_empty();
        lines.push(piece);
        while let Some(line) = match lines.next() {
            None if is_over => lines.finish(),
            line => line,
        } {
            match line.bytes {
                Some(bytes) => publisher.publish(line.number, Bytes::copy_from_slice(bytes))?,
                None => {
                    let reason = format!("found a line of more than {max_bytes} bytes");
                    publisher.refuse(line.number, &reason);
                }
            }
        }
        if is_over {
            return Ok(());
        }
    }
}

struct Publisher {
    runtime: Runtime,
    connection: PersistentConnection,
    head: Request<Bytes>,
    timeout: Duration,
    out: std::io::Stdout,
    has_refused: bool,
}

impl Publisher {
    fn new(arguments: &SendArguments) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(REFUSED, format_args!("cannot start: {error}")))?;
        Ok(Self {
            runtime,
            connection: PersistentConnection::new(arguments.target.transport()?),
            head: head(arguments)?,
            timeout: Duration::from_secs(arguments.timeout),
            out: std::io::stdout(),
            has_refused: false,
        })
    }

    /// Publishes one event and prints its id. A refused event is reported, and the next one may go through.
    fn publish(&mut self, number: u64, body: Bytes) -> Result<(), Failure> {
        let mut request = self.head.clone();
        *request.body_mut() = body;
        let answer = answer(&mut self.connection, request);
        let answer = async { tokio::time::timeout(self.timeout, answer).await };
        let PublishResponse {
            status,
            content_type,
            text,
        } = match self.runtime.block_on(answer) {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(self.no_answer(number, &reason)),
            Err(_) => {
                let reason = format!("no answer within {} s", self.timeout.as_secs());
                return Err(self.no_answer(number, &reason));
            }
        };
        if !status.is_success() {
            self.refuse(number, &refusal(status, &text));
            return Ok(());
        }
        // More lines at the wrong address would only give away more text.
        let id = id(status, content_type.as_deref(), &text).map_err(|found| {
            let url = self.head.uri();
            let message = format_args!(
                "line {number}: {url} does not publish events: found {found}, status 200 with an id is needed"
            );
            Failure::new(REFUSED, message)
        })?;
        let written = writeln!(self.out, "{id}").and_then(|()| self.out.flush());
        written.map_err(|error| Failure::output(&error))
    }

    fn refuse(&mut self, number: u64, reason: &str) {
        self.has_refused = true;
        print_error(&format!("line {number}: {reason}"));
    }

    /// Whether the event was published is not known: to go on would risk to lose the order, to repeat it, to have it
    /// twice.
    fn no_answer(&self, number: u64, reason: &str) -> Failure {
        let url = self.head.uri();
        Failure::new(
            NO_CONNECTION,
            format_args!("line {number}: cannot publish to {url}: {reason}"),
        )
    }
}

/// The request, but for its body.
fn head(arguments: &SendArguments) -> Result<Request<Bytes>, Failure> {
    let mut url = with_path(&arguments.target.url(), "/publish");
    if let Some(topic) = &arguments.topic {
        url = with_query(&url, "topic", topic);
    }
    if let Some(name) = &arguments.event {
        url = with_query(&url, "event", name.as_str());
    }
    let address = Target::address(&url)?;
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = address.url().clone();
    let headers = request.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(http::header::CONTENT_TYPE, text);
    let agent = HeaderValue::from_static(concat!("bellwether/", env!("CARGO_PKG_VERSION")));
    headers.insert(http::header::USER_AGENT, agent);
    if let Some(value) = address.authorization() {
        headers.insert(http::header::AUTHORIZATION, value.clone());
    }
    for (name, value) in arguments.target.fields() {
        headers.insert(name, value);
    }
    Ok(request)
}

/// What the server says to one event.
struct PublishResponse {
    status: StatusCode,
    content_type: Option<String>,
    text: String,
}

async fn answer(
    connection: &mut PersistentConnection,
    request: Request<Bytes>,
) -> Result<PublishResponse, String> {
    let response = connection.send(request, MAX_ANSWER_BYTES).await;
    let response = response.map_err(|error| exit::with_causes(&error))?;
    let (head, body) = response.into_parts();
    let content_type = head.headers.get(http::header::CONTENT_TYPE);
    Ok(PublishResponse {
        status: head.status,
        content_type: content_type
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The id in an answer of success, or what was found instead.
///
/// Any web server has an address, and many answer a POST with 204 or with a page.
fn id<'a>(
    status: StatusCode,
    content_type: Option<&str>,
    text: &'a str,
) -> Result<&'a str, String> {
    if status != StatusCode::OK {
        return Err(format!("status {status}"));
    }
    let essence = content_type.and_then(|value| value.split(';').next());
    if let Some(other) = essence.filter(|value| !value.trim().eq_ignore_ascii_case("text/plain")) {
        return Err(format!("content type {other:?}"));
    }
    let id = text.trim();
    match id {
        "" => Err("an empty body".to_owned()),
        _ if id.len() > MAX_ID_BYTES
            || id.contains(|c: char| c.is_whitespace() || c.is_control()) =>
        {
            Err("a body that is no id".to_owned())
        }
        _ => Ok(id),
    }
}

/// Why an event was refused: the status, and what the server says about it.
fn refusal(status: StatusCode, body: &str) -> String {
    let reason: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match reason.char_indices().nth(300) {
        _ if reason.is_empty() => format!("refused with status {status}"),
        Some((at, _)) => format!(
            "refused with status {status}: {}…",
            reason.get(..at).unwrap_or_default()
        ),
        None => format!("refused with status {status}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_status_and_the_reason_in_one_line() {
        assert_eq!(
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "too\n large\n"),
            "refused with status 413 Payload Too Large: too large"
        );
        assert_eq!(
            refusal(StatusCode::NOT_FOUND, ""),
            "refused with status 404 Not Found"
        );
        let long = refusal(StatusCode::NOT_FOUND, &"é".repeat(1000));
        assert!(long.ends_with("é…") && long.chars().count() < 350);
    }
}
