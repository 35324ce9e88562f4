//! The trials through a proxy: each returns the word for the table.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::origin::{KEPT, micros};
use super::reader::{Door, End, Reader, Reset, ask};
use super::words;

/// Longer than any delivery takes.
const LONG: Duration = Duration::from_secs(8);

/// The number of events that a client has missed when it comes back.
const BACKLOG: usize = 2_000;

/// The way of a trial, and the server behind it.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) door: Door,
    /// Host and port of the server.
    pub(super) server: String,
    /// The label that is printed before each figure; no figures are printed if it is empty.
    pub(super) label: String,
}

impl Path {
    /// Prints a figure that the table has as a word.
    fn show(&self, what: &str, figure: impl std::fmt::Debug) {
        if !self.label.is_empty() {
            println!("{}: {what}: {figure:?}", self.label);
        }
    }
}

/// A name that no other stream has.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// How long ago an event was sent: its data begin with the time.
fn lag_of(line: &str) -> Option<Duration> {
    let sent = line.strip_prefix("data: sent ")?.split(' ').next()?;
    let sent: u128 = sent.trim().parse().ok()?;
    let micros = micros().saturating_sub(sent);
    Some(Duration::from_micros(u64::try_from(micros).ok()?))
}

/// The first byte of a stream whose first event comes after two seconds; the best of several, since machines are busy.
pub(super) async fn first_byte(path: &Path) -> String {
    let mut best = None;
    for _ in 0..6 {
        let url = format!("/stream/{}?first=2000&count=1", name());
        let mut reader = Reader::open(&path.door, &url, &[]);
        if reader.head().await.is_some() && reader.line(LONG).await.is_some() {
            let age = reader.age();
            best = Some(best.map_or(age, |best: Duration| best.min(age)));
        }
        reader.leave().await;
    }
    path.show("first byte", best);
    words::first(best)
}

/// Events that are sent over two seconds, each with this much data; the best of several, since machines are busy.
pub(super) async fn events(path: &Path, size: usize, options: &[&str]) -> String {
    let mut word = String::new();
    for _ in 0..5 {
        word = events_once(path, size, options).await;
        if word == words::AT_ONCE {
            break;
        }
    }
    word
}

async fn events_once(path: &Path, size: usize, options: &[&str]) -> String {
    let (count, pause) = (6, 400);
    let url = format!("/stream/{}?count={count}&pause={pause}&size={size}", name());
    let mut reader = Reader::open(&path.door, &url, options);
    let mut lags = Vec::new();
    while lags.len() < count {
        let Some(line) = reader.line_with("data: sent ", LONG).await else {
            break;
        };
        lags.extend(lag_of(&line));
    }
    reader.leave().await;
    path.show("events", &lags);
    words::lags(&lags, count)
}

/// A keep-alive each second, in a stream without events.
pub(super) async fn keep_alive(path: &Path) -> String {
    let mut reader = Reader::open(&path.door, &format!("/stream/{}?keep=1000", name()), &[]);
    let mut count = 0;
    // Two seconds more than three keep-alives take.
    let deadline = Instant::now() + Duration::from_secs(5);
    while count < 3 {
        let left = deadline.saturating_duration_since(Instant::now());
        match reader.line_with(":", left).await {
            Some(_) => count += 1,
            None => break,
        }
    }
    reader.leave().await;
    match count {
        3 => "passes".to_owned(),
        _ => "held".to_owned(),
    }
}

/// A client that leaves while events are sent to it.
pub(super) async fn leaves_events(path: &Path, patience: Duration) -> String {
    let name = name();
    let url = format!("/stream/{name}?count=10000&pause=500");
    leaves(path, &name, &url, "data: ", patience).await
}

/// A client that leaves a stream of keep-alives only, of a generator and of a topic.
pub(super) async fn leaves_silence(path: &Path, patience: Duration) -> String {
    let (generator, topic) = (name(), name());
    let urls = (format!("/stream/{generator}"), format!("/topic/{topic}"));
    let (generator, topic) = tokio::join!(
        leaves(path, &generator, &urls.0, "content-type", patience),
        leaves(path, &topic, &urls.1, "content-type", patience),
    );
    match generator == topic {
        true => generator,
        false => format!("{generator}, topics {topic}"),
    }
}

/// Reads to a line with this prefix, leaves a second after it came, and waits until the server knows.
async fn leaves(path: &Path, name: &str, url: &str, line: &str, patience: Duration) -> String {
    let mut reader = Reader::open(&path.door, url, &[]);
    let has_begun = match line {
        // Fields of the head: small letters over HTTP/2, and as the server wrote them over HTTP/1.1.
        "content-type" => reader.head().await.is_some(),
        line => reader.line_with(line, LONG).await.is_some(),
    };
    if !has_begun {
        return "does not begin".to_owned();
    }
    tokio::time::sleep(Duration::from_secs(1).saturating_sub(reader.age())).await;
    if readers(path, name).await != Some(1) {
        return "was not there".to_owned();
    }
    path.show(url, reader.age());
    reader.leave().await;
    until_noticed(path, name, patience).await
}

/// A client that resets one stream of HTTP/2, of a generator in silence, and keeps its connection, as browsers do.
pub(super) async fn resets(path: &Path, patience: Duration) -> String {
    if path.door.options.contains(&"--http1.1") {
        return "–".to_owned();
    }
    let name = name();
    let Some(_client) = Reset::after_a_second(&path.door, &format!("/stream/{name}")).await else {
        return "could not be tried".to_owned();
    };
    until_noticed(path, &name, patience).await
}

/// Waits until the server has no reader of this name.
async fn until_noticed(path: &Path, name: &str, patience: Duration) -> String {
    let left = Instant::now();
    while left.elapsed() < patience {
        if readers(path, name).await == Some(0) {
            path.show(name, left.elapsed());
            return words::leaver(Some(left.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    words::leaver(None)
}

async fn readers(path: &Path, name: &str) -> Option<usize> {
    let count = ask(&path.server, &format!("/readers/{name}"), None).await?;
    count.trim().parse().ok()
}

/// Publishes this number of events to a topic.
pub(super) async fn publish(path: &Path, topic: &str, count: usize) -> bool {
    let body = count.to_string();
    ask(&path.server, &format!("/topic/{topic}"), Some(&body))
        .await
        .is_some()
}

/// A client that comes back after 2,000 events, and one more that is published when it has them; the worst of several.
pub(super) async fn backlog(path: &Path, options: &[&str], tries: usize) -> String {
    let topic = name();
    if !publish(path, &topic, BACKLOG + 1).await {
        return "could not be published".to_owned();
    }
    let direct = Door {
        url: format!("http://{}", path.server),
        options: &["--http1.1"],
    };
    let mut first = Reader::open(&direct, &format!("/topic/{topic}"), &[]);
    let id = async {
        first.line_with("data: sent", LONG).await?;
        first.line_with("id: ", LONG).await
    };
    let Some(id) = id.await else {
        return "has no id".to_owned();
    };
    first.leave().await;
    let id = id.replace("id: ", "Last-Event-ID: ");
    let options = [options, &["-H", &id]].concat();
    // A busy machine may make one event late, so the best time counts; a backlog that is held once is held.
    let mut best = None;
    for seen in 0..tries * 3 {
        if seen >= tries && words::lag(best) == words::AT_ONCE {
            break;
        }
        match comes_back_behind(path, &topic, &options, BACKLOG + seen).await {
            Ok(live) => best = best.into_iter().chain(live).min(),
            Err(word) => return word,
        }
    }
    path.show("live behind a backlog", best);
    format!("whole, then live {}", words::lag(best))
}

/// Reads this number of events, and returns the delay of one more that is published then.
async fn comes_back_behind(
    path: &Path,
    topic: &str,
    options: &[&str],
    expected: usize,
) -> Result<Option<Duration>, String> {
    let mut reader = Reader::open(&path.door, &format!("/topic/{topic}"), options);
    for seen in 0..expected {
        if reader.line_with("data: sent ", LONG).await.is_none() {
            reader.leave().await;
            return Err(match seen {
                0 => "never comes".to_owned(),
                _ => "stops in the middle".to_owned(),
            });
        }
    }
    if !publish(path, topic, 1).await {
        return Err("could not be published".to_owned());
    }
    let live = reader.line_with("data: sent ", LONG).await;
    reader.leave().await;
    Ok(live.as_deref().and_then(lag_of))
}

/// What happens to events when the client takes gzip and the proxy compresses.
pub(super) async fn compression(path: &Path) -> String {
    const GZIP: &[&str] = &["--compressed"];
    let mut reader = Reader::open(
        &path.door,
        &format!("/stream/{}?count=1&size=2000", name()),
        GZIP,
    );
    let head = reader.head().await.unwrap_or_default();
    reader.leave().await;
    let is_gzip = head
        .iter()
        .any(|line| line.starts_with("content-encoding: gzip"));
    let small = events(path, 0, GZIP).await;
    let large = events(path, 1_000, GZIP).await;
    let backlog = backlog(path, GZIP, 10).await;
    let is_whole = small == large && small != "held to the end" && backlog.starts_with("whole");
    if !is_gzip && is_whole {
        return "none".to_owned();
    }
    let mut words = vec![if is_gzip { "gzip" } else { "none" }.to_owned()];
    match small == large {
        true => words.push(small),
        false => words.push(format!("small events {small}, those of 1 KB {large}")),
    }
    if backlog != "whole, then live at once" {
        words.push(format!("backlog {backlog}"));
    }
    words.join(", ")
}

/// A client that reads when the server is killed.
pub(super) async fn reads_until_killed(
    path: &Path,
    is_ready: tokio::sync::oneshot::Sender<()>,
) -> String {
    let url = format!("/stream/{}?count=10000&pause=200", name());
    let mut reader = Reader::open(&path.door, &url, &[]);
    let has_begun = reader.line_with("data: ", LONG).await.is_some();
    // The other side may have given up.
    let _ = is_ready.send(());
    match has_begun {
        true => words::cut(reader.rest(LONG).await.1),
        false => "does not begin".to_owned(),
    }
}

/// What a client of a topic has after the server was drained.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) topic: String,
    pub(super) end: End,
    pub(super) has_retry: bool,
    pub(super) last_id: String,
}

/// A client that reads three events of a topic when the server is asked to stop.
pub(super) async fn reads_until_drained(
    path: &Path,
    is_ready: tokio::sync::oneshot::Sender<()>,
) -> Option<Drained> {
    let topic = format!("{KEPT}-{}", name());
    let is_published = publish(path, &topic, 3).await;
    let mut reader = Reader::open(&path.door, &format!("/topic/{topic}"), &[]);
    let mut last_id = String::new();
    for _ in 0..3 {
        reader.line_with("data: sent", LONG).await;
        last_id = reader.line_with("id: ", LONG).await.unwrap_or_default();
    }
    let _ = is_ready.send(());
    let (lines, end) = reader.rest(LONG).await;
    let has_retry = lines.iter().any(|line| line.starts_with("retry: "));
    (is_published && !last_id.is_empty()).then_some(Drained {
        topic,
        end,
        has_retry,
        last_id,
    })
}

/// The drained client comes back to the server that was started again, where two events are new.
pub(super) async fn comes_back(path: &Path, drained: Option<Drained>) -> String {
    let Some(drained) = drained else {
        return "does not begin".to_owned();
    };
    let end = match (drained.end, drained.has_retry) {
        (End::Clean, true) => "clean end",
        (End::Clean, false) => "clean end without `retry:`",
        (End::Error(_), _) => "an error",
        (End::Open, _) => "no end",
    };
    let id = drained.last_id.replace("id: ", "Last-Event-ID: ");
    let is_published = publish(path, &drained.topic, 2).await;
    let url = format!("/topic/{}", drained.topic);
    let reader = Reader::open(&path.door, &url, &["-H", &id]);
    let (lines, _) = reader.rest(Duration::from_secs(2)).await;
    let events = lines.iter().filter(|line| line.starts_with("data: sent"));
    let is_gap = lines.iter().any(|line| line.contains("bellwether.gap"));
    match (is_published, events.count(), is_gap) {
        (true, 2, false) => format!("{end}, resumes"),
        (_, count, _) => format!("{end}, resumes with {count} of 2"),
    }
}

/// The status that a client gets when the server has ended.
pub(super) async fn server_gone(path: &Path) -> String {
    let mut reader = Reader::open(&path.door, &format!("/stream/{}?count=1", name()), &[]);
    let head = reader.head().await.unwrap_or_default();
    reader.leave().await;
    let status = head.first().and_then(|line| line.split(' ').nth(1));
    status.unwrap_or("closed, no answer").to_owned()
}

/// How long a stream lives whose events never end.
pub(super) async fn lifetime(path: &Path) -> String {
    let url = format!("/stream/{}?count=10000&pause=200", name());
    let reader = Reader::open(&path.door, &url, &[]);
    let opened = Instant::now();
    let (_, end) = reader.rest(LONG).await;
    path.show("lifetime", opened.elapsed());
    words::lifetime(end, opened.elapsed())
}

/// What the last of this number of clients gets while all stay.
pub(super) async fn last_of(path: &Path, count: usize) -> String {
    let mut staying = Vec::new();
    for number in 1..=count {
        let url = format!("/stream/{}?count=10000&pause=200", name());
        let mut reader = Reader::open(&path.door, &url, &[]);
        if reader
            .line_with("data: ", Duration::from_secs(3))
            .await
            .is_none()
        {
            let what = match reader.rest(Duration::from_millis(100)).await.1 {
                End::Open => "waits",
                End::Clean | End::Error(_) => "is refused",
            };
            return format!("stream {number} {what}");
        }
        staying.push(reader);
    }
    format!("all {count} are open")
}
