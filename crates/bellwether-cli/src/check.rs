//! `bellwether check` and `bellwether repair`: whether a log in an SQLite file is whole, and mending it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bellwether_sqlite::{OpenError, Report};
use clap::Args;

use crate::exit::{Failure, REFUSED, USAGE};
use crate::show;

/// Reads a whole log in an SQLite file and says what is wrong with it.
///
/// It writes nothing, and a server may have the log open meanwhile.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the log is sound, 1 it is damaged, 2 there is no log in that file."
)]
pub(crate) struct Check {
    /// The file of the log, as in `serve --broker sqlite:FILE`.
    file: PathBuf,
}

/// Mends a log in an SQLite file: keeps what can be read, and has readers told what cannot.
///
/// The file as it was is kept beside it, as FILE.before-repair-SECONDS. Stop the server first. Every event that can be
/// read stays under its id; readers of the others are told a gap of reason `damaged` over exactly those.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the log is sound now, 1 it could not be mended, 2 there is no log in that file."
)]
pub(crate) struct Repair {
    /// The file of the log, as in `serve --broker sqlite:FILE`.
    file: PathBuf,
}

pub(crate) fn check(arguments: &Check) -> Result<ExitCode, Failure> {
    let report = with_progress(|progress| bellwether_sqlite::check(&arguments.file, progress))
        .map_err(|error| refused(&error))?;
    let file = arguments.file.display().to_string();
    print(&problems(&report))?;
    print(&summary(&file, &report))?;
    if report.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "To mend it, stop the server and run: bellwether repair {file}\n"
    ))?;
    Ok(ExitCode::from(REFUSED))
}

pub(crate) fn repair(arguments: &Repair) -> Result<ExitCode, Failure> {
    let repaired = with_progress(|progress| bellwether_sqlite::repair(&arguments.file, progress))
        .map_err(|error| refused(&error))?;
    let file = arguments.file.display().to_string();
    let Some(copy) = &repaired.copy else {
        print(&summary(&file, &repaired.before))?;
        print("There is nothing to do.\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    print(&problems(&repaired.before))?;
    print(&format!(
        "{file} is mended. {} kept, {} lost; readers are told a gap over what is lost.\n",
        count(repaired.before.records, "event"),
        repaired.lost
    ))?;
    if repaired.is_new_epoch {
        print("The log's own row could not be read, so every reader is told a gap.\n")?;
    }
    print(&format!("The file as it was: {}\n", copy.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows how far it is, where somebody looks.
fn with_progress<T>(
    work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let is_watched = std::io::stderr().is_terminal();
    let mut told = false;
    let result = work(&mut |done, of| {
        if is_watched {
            told = true;
            let _ = write!(std::io::stderr(), "\r{done} of {of} records");
        }
    });
    if told {
        let _ = writeln!(std::io::stderr());
    }
    result
}

fn refused(error: &OpenError) -> Failure {
    let code = match error.is_not_ours() || error.is_newer() || error.is_unusable() {
        true => USAGE,
        false => REFUSED,
    };
    Failure::new(code, error)
}

fn problems(report: &Report) -> String {
    let mut text: String = report
        .problems
        .iter()
        .map(|problem| format!("{}\n", show::plain(&problem.to_string())))
        .collect();
    let shown = report.problems.len() as u64;
    if report.problem_count > shown {
        text += &format!("… and {} more\n", report.problem_count - shown);
    }
    text
}

fn summary(file: &str, report: &Report) -> String {
    let found = match report.problem_count {
        0 => "sound".to_owned(),
        problems => count(problems, "problem"),
    };
    let lost = match report.lost {
        0 => String::new(),
        lost => format!(", {lost} lost before"),
    };
    format!(
        "{file}: {} in {}{lost}: {found}\n",
        count(report.records, "event"),
        count(report.topics, "topic")
    )
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::output(&error))
}
