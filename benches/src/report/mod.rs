//! The results of a question, and how they are written: a Markdown table, verdicts, a plot.

mod plot;
mod samples;

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

pub(crate) use samples::{Sample, Samples};

use crate::Result;
use crate::field::Field;
use crate::machine;
use crate::questions::Question;
use crate::server::Pins;

/// The answer to a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it was measured, in some sentences.
    pub(crate) method: String,
    pub(crate) heads: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) goals: Vec<Goal>,
    /// What the bars count.
    pub(crate) unit: &'static str,
    pub(crate) bars: Vec<Bar>,
    /// What a reader must know, such as runs that are void.
    pub(crate) notes: Vec<String>,
}

/// One bar of the plot; neighbours with the same group are drawn together.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) group: String,
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// A ratio to reach, and the measured one.
#[derive(Debug)]
pub(crate) struct Goal {
    what: String,
    bound: String,
    found: f64,
    is_met: bool,
}

impl Goal {
    pub(crate) fn at_least(what: String, bound: f64, found: f64) -> Self {
        Self {
            what,
            bound: format!("≥ {bound}"),
            found,
            is_met: found >= bound,
        }
    }

    pub(crate) fn at_most(what: String, bound: f64, found: f64) -> Self {
        Self {
            what,
            bound: format!("≤ {bound}"),
            found,
            is_met: found <= bound,
        }
    }
}

/// The whole report of one question.
pub(crate) fn markdown(
    question: &Question,
    answer: &Answer,
    field: &Field<'_>,
    load: &str,
) -> String {
    let mut text = String::new();
    let pinned = match field.pins {
        Pins::Apart => "server pinned to core 0, load to core 1",
        Pins::Shared => "server on both cores, load on one of them",
        Pins::None => "not pinned to cores",
    };
    let mut line = |words: &str| writeln!(text, "{words}").expect("a String takes all text");
    line(&format!("# {}\n", capitalized(question.asks)));
    line(&format!("{}\n", answer.method));
    line(&format!(
        "Medians of {} interleaved rounds, {pinned}, loopback, load average before the first {load}. {}. `{}`\n",
        field.options.rounds,
        machine::describe(),
        field.options.words
    ));
    line(&row(&answer.heads));
    line(&row(&vec!["---"; answer.heads.len()]));
    for cells in &answer.rows {
        line(&row(cells));
    }
    if !answer.goals.is_empty() {
        line("\n| goal | bound | found | |\n| --- | --- | --- | --- |");
    }
    for Goal {
        what,
        bound,
        found,
        is_met,
    } in &answer.goals
    {
        let verdict = if *is_met { "PASS" } else { "short" };
        line(&format!("| {what} | {bound} | {found:.2} | {verdict} |"));
    }
    if !answer.notes.is_empty() {
        line("");
    }
    for note in &answer.notes {
        line(&format!("- {note}"));
    }
    line("\nThe servers:\n");
    for absent in &field.absent {
        line(&format!("- {absent}"));
    }
    for peer in &field.peers {
        line(&format!("- `{}`: {}", peer.name, peer.about));
    }
    text
}

/// Writes the report and its plot, named after the question.
pub(crate) fn write(
    folder: &Path,
    question: &Question,
    report: &str,
    answer: &Answer,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    let plot = format!("{}.svg", question.name);
    fs::write(folder.join(&plot), plot::svg(answer.unit, &answer.bars))?;
    let report = format!("{report}\n![{}]({plot})\n", answer.unit);
    fs::write(folder.join(format!("{}.md", question.name)), report)?;
    Ok(())
}

fn row(cells: &[impl Borrow<str>]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
