//! `bellwether listen`: follows an event stream, in colour for people and as lines of JSON for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use bellwether_client::{
    Encoding, Error, EventId, EventSource, Gap, GapReason, Item, Message, Opened, Waiting,
};
use http::Method;
use owo_colors::OwoColorize;

use crate::clock;
use crate::exit::{self, Failure, NO_CONNECTION, REFUSED, USAGE};
use crate::line::{EventLine, json_line};
use crate::show;
use crate::target::{Target, with_query};

/// Sent instead of an id, it is not a valid one: servers of Bellwether then report a gap and send all that they still
/// have.
const FROM_START: &str = "earliest";

/// What is asked for with `--compressed`, the best first.
const ENCODINGS: [Encoding; 4] = [
    Encoding::Zstd,
    Encoding::Brotli,
    Encoding::Gzip,
    Encoding::Deflate,
];

/// Follow an event stream: connect, print events as they come, reconnect and resume.
///
/// A terminal gets events in colour, everything else one line of JSON per event: {"event":…,"data":…,"id":…}. News of
/// the connection (connected, retry in 1.5 s, resumed, gap) goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether listen http://127.0.0.1:8000/events
  bellwether listen :8000/events --event price --count 10 | jq .data
  bellwether listen https://example.com/jobs/7 --exit-on done --no-reconnect
  bellwether listen :8000/answer --data '{\"prompt\":\"hello\"}' --raw

Exit codes:
  0    ended as asked: --count or --exit-on was reached, the server has no more (204, or the end of the
       stream with --no-reconnect), or the reader of the output has left
  1    the server refused: another status, no event stream, a limit
  2    wrong usage
  3    no connection, or a stream that is not whole, with --no-reconnect: an event `bellwether.finished` or
       `bellwether.error` decides that, where the server sends one
  130  Ctrl-C (143: SIGTERM)")]
pub(crate) struct ListenArguments {
    #[command(flatten)]
    target: Target,

    /// Print lines of JSON, also in a terminal
    #[arg(long, conflicts_with = "raw")]
    json: bool,

    /// Print the data alone
    #[arg(long)]
    raw: bool,

    /// Add when each event arrived (UTC)
    #[arg(long)]
    timestamp: bool,

    /// Print only events of this name (repeatable)
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,

    /// End after this many printed events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End when an event of this name comes, printed unless --event leaves it out
    #[arg(long, value_name = "NAME")]
    exit_on: Option<String>,

    /// Resume after this id
    #[arg(long, value_name = "ID")]
    last_event_id: Option<EventId>,

    /// Begin with the oldest event that the server keeps: asks with the query parameter `last_event_id=earliest`
    #[arg(long, conflicts_with = "last_event_id")]
    since_start: bool,

    /// The method [default: GET, POST with --data]; any but GET is sent once only, as with --no-reconnect
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,

    /// The body of the request; JSON is sent as such unless a header says otherwise
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,

    /// Connect once: end when the stream ends
    #[arg(long)]
    no_reconnect: bool,

    /// Ask for a compressed stream: zstd, br, gzip or deflate. One that comes unasked is read in any case
    #[arg(long)]
    compressed: bool,

    /// No news of the connection on standard error
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(arguments: &ListenArguments) -> Result<ExitCode, Failure> {
    let source = source(arguments)?;
    // One worker beside this thread, for the signals: this one may be stuck in a full pipe.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(REFUSED, format_args!("cannot start: {error}")))?;
    runtime.spawn(exit::end_on_signal());
    runtime.block_on(follow(arguments, source))
}

fn source(arguments: &ListenArguments) -> Result<EventSource, Failure> {
    let mut url = arguments.target.url();
    if arguments.since_start {
        url = with_query(&url, "last_event_id", FROM_START);
    }
    let default_method = match arguments.data {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let method = arguments.method.clone().unwrap_or(default_method);
    let mut builder = arguments.target.source(&url);
    if arguments.no_reconnect || method != Method::GET {
        builder = builder.once();
    }
    if arguments.compressed {
        builder = builder.accept_encodings(ENCODINGS);
    }
    if let Some(id) = &arguments.last_event_id {
        builder = builder.last_event_id(id.clone());
    }
    if let Some(data) = &arguments.data {
        let mut fields = arguments.target.fields();
        if !fields.any(|(name, _)| name == http::header::CONTENT_TYPE) {
            builder = builder.header(http::header::CONTENT_TYPE, content_type(data));
        }
        builder = builder.body(data.clone());
    }
    let transport = arguments.target.transport()?;
    let source = builder.method(method).transport(transport).build();
    source.map_err(|error| Failure::new(USAGE, error))
}

/// The type of a body without a name.
fn content_type(data: &str) -> &'static str {
    match serde_json::from_str::<serde::de::IgnoredAny>(data) {
        Ok(_) => "application/json",
        Err(_) => "text/plain; charset=utf-8",
    }
}

async fn follow(arguments: &ListenArguments, mut source: EventSource) -> Result<ExitCode, Failure> {
    let mut printer = Printer::new(arguments);
    let mut news = ConnectionReport::new(arguments);
    while let Some(item) = source.next().await {
        match item {
            Ok(Item::Message(message)) => {
                news.last_event_id = Some(message.last_event_id.clone());
                printer.print(&message)?;
                if printer.is_done(arguments, &message) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Ok(Item::Open(opened)) => news.opened(&opened, source.last_event_id()),
            Ok(Item::Waiting(waiting)) => news.waiting(&waiting),
            Ok(Item::Gap(gap)) => news.gap(gap),
            Ok(_) => {}
            Err(error) if error.is_finished() => news.say("the server has no more events"),
            Err(error) => return Err(failure(&error)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the stream is over, with the exit code that scripts ask for.
fn failure(error: &Error) -> Failure {
    // A failure that the server tells is a stream that is not whole, as by a cut.
    let is_broken = error.is_transport() || error.is_error_event();
    let is_no_connection = is_broken || error.is_timeout() || error.is_encoding();
    let code = match is_no_connection && error.status().is_none() {
        true => NO_CONNECTION,
        false => REFUSED,
    };
    let mut text = exit::with_causes(error);
    // Servers say in the body what was wrong; the first line of it is what people want to see.
    let body = error.body_start().map(|body| String::from_utf8_lossy(body));
    if let Some(line) = body.as_deref().and_then(|body| body.trim().lines().next()) {
        let start: String = line.chars().take(200).collect();
        text = format!("{text}: {start}");
    }
    Failure::new(code, text)
}

/// How an event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputFormat {
    People,
    Json,
    Raw,
}

struct Printer<'a> {
    arguments: &'a ListenArguments,
    form: OutputFormat,
    out: anstream::AutoStream<std::io::Stdout>,
    printed: u64,
}

impl<'a> Printer<'a> {
    fn new(arguments: &'a ListenArguments) -> Self {
        let stdout = std::io::stdout();
        let form = match (arguments.raw, arguments.json || !stdout.is_terminal()) {
            (true, _) => OutputFormat::Raw,
            (false, true) => OutputFormat::Json,
            (false, false) => OutputFormat::People,
        };
        Self {
            arguments,
            form,
            // Only what is ours is filtered: data that is asked for raw goes out byte by byte.
            out: match form {
                OutputFormat::People => anstream::AutoStream::auto(stdout),
                OutputFormat::Json | OutputFormat::Raw => anstream::AutoStream::always_ansi(stdout),
            },
            printed: 0,
        }
    }

    /// Prints one event, if its name is asked for.
    fn print(&mut self, message: &Message) -> Result<(), Failure> {
        let names = &self.arguments.events;
        if !names.is_empty() && !names.iter().any(|name| message.event == name.as_str()) {
            return Ok(());
        }
        let now = self.arguments.timestamp.then(clock::now);
        let text = text(self.form, message, now);
        let written = self.out.write_all(&text).and_then(|()| self.out.flush());
        written.map_err(|error| Failure::output(&error))?;
        self.printed += 1;
        Ok(())
    }

    fn is_done(&self, arguments: &ListenArguments, message: &Message) -> bool {
        let is_last = arguments.count.is_some_and(|count| self.printed >= count);
        let exit_on = arguments.exit_on.as_deref();
        is_last || exit_on.is_some_and(|name| message.event == name)
    }
}

/// One event in this form, with the time if there is one.
fn text(form: OutputFormat, message: &Message, now: Option<std::time::Duration>) -> Vec<u8> {
    let time = now.map(|now| match form {
        OutputFormat::People => clock::time(now),
        OutputFormat::Json | OutputFormat::Raw => clock::date_and_time(now),
    });
    let line = EventLine {
        event: message.event.as_str(),
        data: &message.data,
        id: message.last_event_id.as_str(),
        time: time.as_deref(),
    };
    match form {
        OutputFormat::People => show::event(&line).into_bytes(),
        OutputFormat::Json => json_line(&line),
        OutputFormat::Raw => match time {
            Some(time) => format!("{time} {}\n", message.data).into_bytes(),
            None => format!("{}\n", message.data).into_bytes(),
        },
    }
}

/// What happens to the connection, told on standard error.
struct ConnectionReport {
    is_quiet: bool,
    is_from_start: bool,
    has_connected: bool,
    /// Of the last event or gap.
    last_event_id: Option<EventId>,
}

impl ConnectionReport {
    fn new(arguments: &ListenArguments) -> Self {
        Self {
            is_quiet: arguments.quiet,
            is_from_start: arguments.since_start,
            has_connected: false,
            last_event_id: arguments.last_event_id.clone(),
        }
    }

    fn opened(&mut self, opened: &Opened, last_event_id: &str) {
        let id = (!last_event_id.is_empty()).then_some(last_event_id);
        let text = opened_text(&opened.url.to_string(), self.has_connected, id);
        self.has_connected = true;
        self.say(&text);
    }

    fn waiting(&self, waiting: &Waiting) {
        let cause = match &waiting.cause {
            Some(error) => exit::with_causes(error),
            None => "the server ended the stream".to_owned(),
        };
        self.say(&format!("{cause}; retry in {}", show::span(waiting.delay)));
    }

    fn gap(&mut self, gap: Gap) {
        // That the server does not know the id that asks for everything is what was asked for.
        let is_start = self.is_from_start && self.last_event_id.is_none();
        match is_start && gap.reason == GapReason::Unknown {
            true => self.say("from the oldest event that the server keeps"),
            false => self.say(&format!("gap: {gap}")),
        }
        self.last_event_id = Some(gap.last_event_id);
    }

    fn say(&self, text: &str) {
        if !self.is_quiet {
            let text = show::plain(text);
            let line = format_args!("# {text}");
            // A closed standard error is no reason to stop.
            let _ = writeln!(anstream::stderr().lock(), "{}", line.dimmed());
        }
    }
}

fn opened_text(url: &str, is_again: bool, id: Option<&str>) -> String {
    match (is_again, id) {
        (false, None) => format!("connected to {url}"),
        (false, Some(id)) => format!("connected to {url}, resumed after {id}"),
        (true, None) => "connected again".to_owned(),
        (true, Some(id)) => format!("connected again, resumed after {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_json_is_called_so() {
        assert_eq!(content_type("{\"a\": 1}"), "application/json");
        assert_eq!(content_type("a=1"), "text/plain; charset=utf-8");
    }

    #[test]
    fn the_news_say_where_a_stream_goes_on() {
        assert_eq!(
            opened_text("http://a/", false, None),
            "connected to http://a/"
        );
        assert_eq!(
            opened_text("http://a/", true, Some("7")),
            "connected again, resumed after 7"
        );
    }
}
