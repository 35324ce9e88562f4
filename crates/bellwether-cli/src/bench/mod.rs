//! `bellwether bench`: opens many streams and measures what arrives.
//!
//! One thread per core, each with a runtime and a tally of its own, so that measuring costs no locks between cores. A
//! transport that counts bytes sits below the event sources.

mod counting;
mod report;
mod sequence;
mod stamp;
mod stream;
mod tally;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::counting::Counting;
use self::report::{Latency, Order, Report};
use self::stamp::NumberSource;
use self::stream::{BenchPhase, ThreadShared};
use self::tally::Tally;
use crate::exit::{Failure, INTERRUPTED, NO_CONNECTION, REFUSED, USAGE};
use crate::line::json_line;
use crate::show;
use crate::target::Target;

/// How often the counters are read.
const TICK: Duration = Duration::from_millis(100);
/// How often progress is printed where it is not one line that is written over.
const SLOW_TICKS: u32 = 10;
/// Streams that are slower to open than this are measured without.
const MAX_CONNECTING: Duration = Duration::from_secs(60);
/// How many requests of one thread wait for an answer at once: listening sockets have short queues.
const CONNECTING_AT_ONCE: usize = 64;

/// Open many streams and measure what arrives: connects, events and bytes per second, latency, order.
///
/// Events are counted from the moment when all streams are open. Latency is taken from events whose data is a JSON
/// object with the time at which it was sent, as "t" or "sent": seconds, milliseconds, microseconds or nanoseconds since
/// 1970, told apart by their size; both clocks must agree. Lost, duplicated and reordered events are told by a number
/// that goes up by one: "i" in the data, else the digits at the end of the event's id, or the offset in an id of
/// Bellwether, which counts over all topics of a log. Streams connect again as an EventSource does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether bench http://127.0.0.1:8000/events --streams 1000 --seconds 30
  bellwether bench :8000/events --json | jq .latency.\\\"p99.9_us\\\"

Each stream is an open file: raise the limit (`ulimit -n`) above the number of streams, here and at the server.

Exit codes: 0 measured, 1 every stream was refused, 2 wrong usage, 3 no stream could connect,
130 ended early by Ctrl-C, with a report.")]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    target: Target,

    /// How many streams
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    streams: u32,

    /// How long events are counted
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,

    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,

    /// No progress on standard error
    #[arg(short, long)]
    quiet: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number above 0 and up to 86400 is needed".to_owned()),
    }
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    // What is wrong with the address is told once, not by each stream.
    let url = arguments.target.url();
    let source = arguments.target.source(&url).build();
    source.map_err(|error| Failure::new(USAGE, error))?;

    let bytes = Counting::new(arguments.target.transport()?);
    let bench = Bench::start(arguments, url, bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(REFUSED, format_args!("cannot start: {error}")))?;
    let outcome = runtime.block_on(bench.measure(arguments));

    let text = match arguments.json {
        true => json_line(&outcome.report),
        false => outcome.report.text().into_bytes(),
    };
    let mut out = anstream::stdout().lock();
    let written = out.write_all(&text).and_then(|()| out.flush());
    written.map_err(|error| Failure::output(&error))?;
    Ok(ExitCode::from(match outcome {
        BenchOutcome {
            is_interrupted: true,
            ..
        } => INTERRUPTED,
        BenchOutcome { report, .. } if report.opened > 0 => 0,
        BenchOutcome {
            is_refused: true, ..
        } => REFUSED,
        _ => NO_CONNECTION,
    }))
}

/// How a run has ended.
struct BenchOutcome {
    report: Report,
    /// The server refused a stream.
    is_refused: bool,
    /// Ctrl-C came.
    is_interrupted: bool,
}

/// The threads at work.
struct Bench {
    url: String,
    started: Instant,
    phase: watch::Sender<BenchPhase>,
    bytes: Counting,
    tallies: Vec<Arc<Mutex<Tally>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Bench {
    fn start(arguments: &BenchArguments, url: String, bytes: Counting) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let streams = arguments.streams as usize;
        let count = cores.min(streams);
        let (phase, _) = watch::channel(BenchPhase::Connecting);
        let mut tallies = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let tally = Arc::new(Mutex::new(Tally::new()));
            let shared = ThreadShared {
                target: arguments.target.clone(),
                url: url.clone(),
                transport: bytes.clone(),
                phase: phase.subscribe(),
                tally: Arc::clone(&tally),
            };
            let share = streams / count + usize::from(index < streams % count);
            threads.push(std::thread::spawn(move || {
                stream::run_all(&shared, share, CONNECTING_AT_ONCE);
            }));
            tallies.push(tally);
        }
        Self {
            url,
            started: Instant::now(),
            phase,
            bytes,
            tallies,
            threads,
        }
    }

    /// Waits for the streams to open, then for the time to pass.
    async fn measure(self, arguments: &BenchArguments) -> BenchOutcome {
        let streams = u64::from(arguments.streams);
        let mut progress = Progress::new(arguments.quiet);
        let interrupt = tokio::signal::ctrl_c();
        let mut interrupt = std::pin::pin!(interrupt);
        let mut is_interrupted = false;

        while !is_interrupted {
            is_interrupted = tick(&mut interrupt).await;
            let now = self.sum();
            progress.tell(&format!("{} of {} streams open", now.opened, streams));
            if now.settled >= streams || self.started.elapsed() > MAX_CONNECTING {
                break;
            }
        }
        let connecting = self.started.elapsed();
        let before = (self.sum(), self.bytes.total());
        self.phase.send_replace(BenchPhase::Measuring);
        let measuring = Instant::now();
        let wanted = Duration::from_secs_f64(arguments.seconds);
        let mut last = (Instant::now(), before.0.events);
        while !is_interrupted && before.0.opened > 0 {
            is_interrupted = tick(&mut interrupt).await;
            let now = self.sum();
            let rate = per_second(now.events - last.1, last.0.elapsed());
            let text = format!(
                "{:.0} of {} s, {} streams, {rate:.0} events per second",
                measuring.elapsed().as_secs_f64(),
                arguments.seconds,
                now.opened - now.ended.min(now.opened),
            );
            if progress.tell(&text) {
                last = (Instant::now(), now.events);
            }
            if measuring.elapsed() >= wanted || now.ended >= streams {
                break;
            }
        }
        let seconds = measuring.elapsed();
        let (events, bytes) = (self.sum().events, self.bytes.total());
        progress.clear();

        self.phase.send_replace(BenchPhase::Over);
        for thread in self.threads {
            // A thread that has panicked has told so itself.
            let _ = thread.join();
        }
        let mut sum = Tally::new();
        for tally in &self.tallies {
            sum.add(&lock(tally));
        }
        let events = events - before.0.events;
        let bytes = bytes - before.1;
        let report = Report {
            url: self.url,
            streams,
            opened: sum.opened,
            ended: sum.ended,
            retries: sum.retries,
            first_failure: sum.first_failure.clone(),
            connect_seconds: connecting.as_secs_f64(),
            connects_per_second: per_second(before.0.opened, connecting),
            seconds: seconds.as_secs_f64(),
            events,
            events_per_second: per_second(events, seconds),
            bytes,
            bytes_per_second: per_second(bytes, seconds),
            latency: Latency::of(&sum.latency),
            order: sum.by.map(|by| {
                let by = match by {
                    NumberSource::Data => "i",
                    NumberSource::Id => "id",
                };
                Order::of(by, sum.order)
            }),
        };
        BenchOutcome {
            report,
            is_refused: sum.is_refused,
            is_interrupted,
        }
    }

    fn sum(&self) -> ProgressSnapshot {
        let mut sum = ProgressSnapshot::default();
        for tally in &self.tallies {
            let tally = lock(tally);
            sum.opened += tally.opened;
            sum.settled += tally.settled;
            sum.ended += tally.ended;
            sum.events += tally.events;
        }
        sum
    }
}

/// The counters, read while the streams run.
#[derive(Clone, Copy, Debug, Default)]
struct ProgressSnapshot {
    opened: u64,
    settled: u64,
    ended: u64,
    events: u64,
}

/// No thread panics while it holds the lock of a tally.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits for the next reading; true if Ctrl-C came.
async fn tick(interrupt: &mut (impl Future<Output = std::io::Result<()>> + Unpin)) -> bool {
    tokio::select! {
        signal = interrupt => signal.is_ok(),
        () = tokio::time::sleep(TICK) => false,
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is shown with few digits"
    )]
    let count = count as f64;
    match time.is_zero() {
        true => 0.0,
        false => count / time.as_secs_f64(),
    }
}

/// Lines on standard error: one that is written over in a terminal, else one a second.
struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    ticks: u32,
}

impl Progress {
    fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            is_terminal: std::io::stderr().is_terminal(),
            ticks: 0,
        }
    }

    /// Tells where things are, unless it is too soon; says whether it did.
    fn tell(&mut self, text: &str) -> bool {
        self.ticks += 1;
        let every = if self.is_terminal { 5 } else { SLOW_TICKS };
        if self.is_quiet || !self.ticks.is_multiple_of(every) {
            return false;
        }
        let text = show::plain(text);
        let mut err = std::io::stderr().lock();
        // A closed standard error is no reason to stop.
        let _ = match self.is_terminal {
            true => write!(err, "\r{text}\x1b[K"),
            false => writeln!(err, "{text}"),
        };
        let _ = err.flush();
        true
    }

    fn clear(&self) {
        if self.is_terminal && !self.is_quiet {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
