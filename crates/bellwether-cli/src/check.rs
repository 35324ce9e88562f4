//! `bellwether check` and `bellwether repair`: check the file of a log, and repair a damaged one.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bellwether_sqlite::{OpenError, Progress, Repaired, Report};

use crate::exit::{self, Failure, REFUSED};
use crate::show;

/// The file can be read as a log, and is damaged.
const DAMAGED: u8 = 1;
/// The file cannot be read as a log.
const UNREADABLE: u8 = 2;

/// How often the progress is shown on a terminal.
const PROGRESS: Duration = Duration::from_millis(200);

/// Read the whole file of a log, say what is wrong with it.
///
/// Looks at every record by its checksum, at the index over topics and at the numbers that the log keeps of itself. It
/// only reads, so a server may have the file open.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether check events.sqlite
  bellwether check events.sqlite > /dev/null || echo 'damaged, or no log'

Exit codes: 0 the log is sound, 1 it is damaged, 2 the file cannot be read as a log.")]
pub(crate) struct CheckArguments {
    /// The file that a server was given as `--broker sqlite:FILE`
    file: PathBuf,
}

/// Make the damaged file of a log sound: keep a copy, put damaged records aside, rebuild the index.
///
/// Readers then get all that is good, and a gap `damaged` over exactly the records that were put aside; their ids
/// stay valid. The file as it was is kept beside it as FILE.before-repair-TIME. A sound file is left alone. The
/// server has to be stopped first. A repair that is cut short, by whatever, has changed nothing: run it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellwether repair events.sqlite

Exit codes: 0 the log is sound now, 1 it was not repaired, 2 the file cannot be read as a log.")]
pub(crate) struct RepairArguments {
    /// The file that a server was given as `--broker sqlite:FILE`
    file: PathBuf,
}

pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let file = file(&arguments.file);
    let mut teller = ProgressLine::new();
    let report = bellwether_sqlite::check(file, |progress| teller.tell(progress));
    teller.end();
    let report = report.map_err(|error| refuse(file, &error, UNREADABLE))?;
    let mut text = problems(&report);
    text += &summary(file, &report);
    print(&text)?;
    Ok(match report.is_sound() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DAMAGED),
    })
}

pub(crate) fn repair(arguments: &RepairArguments) -> Result<ExitCode, Failure> {
    let file = file(&arguments.file);
    let mut teller = ProgressLine::new();
    let repaired = bellwether_sqlite::repair(file, |progress| teller.tell(progress));
    teller.end();
    let repaired = repaired.map_err(|error| {
        let is_refused = error.is_in_use() || error.is_unusable();
        refuse(file, &error, if is_refused { REFUSED } else { UNREADABLE })
    })?;
    print(&done(file, &repaired))?;
    Ok(ExitCode::SUCCESS)
}

/// The form of `--broker` is understood, too.
fn file(argument: &Path) -> &Path {
    let text = argument
        .to_str()
        .and_then(|text| text.strip_prefix("sqlite:"));
    text.map_or(argument, Path::new)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

fn problems(report: &Report) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        text += &show::plain(&problem.to_string());
        text.push('\n');
    }
    if report.unlisted > 0 {
        text += &format!("and {} more\n", report.unlisted);
    }
    text
}

fn summary(file: &Path, report: &Report) -> String {
    let name = file.display();
    let records = counted(report.records, "record");
    let topics = counted(report.topics, "topic");
    let mut text = match report.is_sound() {
        true => format!("{name} is sound: {records} of {topics}.\n"),
        false => {
            let count = report.problems.len() as u64 + report.unlisted;
            let problems = counted(count, "problem");
            format!(
                "{name} is damaged: {problems}; {records} of {topics} are what was written.\n\
                 Stop the server and run `bellwether repair {name}`, or restore a copy.\n"
            )
        }
    };
    if report.put_aside > 0 {
        let places = counted(report.put_aside, "place");
        text +=
            &format!("An earlier repair has put {places} aside; readers are told a gap there.\n");
    }
    text
}

fn done(file: &Path, repaired: &Repaired) -> String {
    let name = file.display();
    let Some(copy) = &repaired.copy else {
        return format!("{}Nothing to do.\n", summary(file, &repaired.found));
    };
    let mut text = problems(&repaired.found);
    text += &format!(
        "{name} is sound now. As it was, it is kept as {}.\n",
        copy.display()
    );
    text += &match repaired.put_aside {
        0 => "No record was lost; the index, the notes about topics and the log's numbers are rebuilt.\n".to_owned(),
        count => format!(
            "{} put aside: readers are told a gap (`damaged`) there and go on behind it.\n",
            match count {
                1 => "1 damaged record was".to_owned(),
                count => format!("{count} damaged records were"),
            }
        ),
    };
    text += match repaired.new_epoch {
        None => "Ids stay valid.\n",
        Some(_) => {
            "The log has a new epoch, since its numbers or the topics of damaged records were lost: each reader that comes \
             back is told a gap, and then gets all that is left.\n"
        }
    };
    for table in &repaired.incomplete_tables {
        text += &format!(
            "The table {table:?} of another program could not be taken over as a whole; the copy has it.\n"
        );
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn refuse(file: &Path, error: &OpenError, code: u8) -> Failure {
    let cause = error.source().map(exit::with_causes);
    let message = if error.is_damaged() {
        format!(
            "SQLite cannot read {}: {}; restore a copy. Without one, move the file away: a server then begins with an empty \
             log, and `sqlite3 FILE .recover` shows what is left of the old one",
            file.display(),
            cause.unwrap_or_else(|| error.to_string())
        )
    } else if error.is_not_ours() {
        format!("{error}. If it was a log, its first page is damaged: restore a copy")
    } else {
        exit::with_causes(error)
    };
    Failure::new(code, message)
}

/// One line on a terminal that says how far it is.
struct ProgressLine {
    is_terminal: bool,
    told: Option<Instant>,
}

impl ProgressLine {
    fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            told: None,
        }
    }

    fn tell(&mut self, progress: Progress) {
        let is_soon = self.told.is_some_and(|told| told.elapsed() < PROGRESS);
        if !self.is_terminal || is_soon {
            return;
        }
        self.told = Some(Instant::now());
        let Progress { step, done, of, .. } = progress;
        let far = match (done * 100).checked_div(of) {
            Some(percent) => format!(" {:>3} %", percent.min(100)),
            None => String::new(),
        };
        let _ = write!(io::stderr(), "\r\x1b[K{step}{far}");
    }

    fn end(&mut self) {
        if self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
