//! The command line of the benches.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::peers::{FAMILIES, Peer};
use crate::questions::{self, QUESTIONS, Question};

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    /// Be a server, for the bench that started this process.
    Serve(&'static Peer),
    Measure(Options),
}

/// What to measure, and how long.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) questions: Vec<&'static Question>,
    /// Names of peers; all of them without any.
    peers: Vec<String>,
    pub(crate) with_python: bool,
    pub(crate) is_quick: bool,
    pub(crate) rounds: usize,
    /// No single run goes on for longer.
    pub(crate) longest_run: Duration,
    /// Where the reports go; nowhere but to standard output without it.
    pub(crate) out: Option<PathBuf>,
    /// The command as it was typed.
    pub(crate) words: String,
}

impl Options {
    /// Whether a peer of this name is to be measured.
    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == peer)
    }
}

pub(crate) fn help() -> String {
    let mut text = "\
cargo xtask bench -- [QUESTION ...] [OPTION ...]

Measures Bellwether beside its peers, each server in a process of its own on core 0 and the load
on core 1. Progress goes to standard error, the tables to standard output and docs/bench/.

  --quick          a smoke run: one round, a tenth of the load, nothing written to docs/bench/
  --rounds N       runs of every server, interleaved; medians are reported (5)
  --peers A,B      only these servers (all)
  --with-python    also measures a Python server, and fetches it from PyPI
  --seconds T      no single run goes on for longer (30)
  --out FOLDER     writes the reports there instead of docs/bench/
  --help           says this

Questions (all, unless some are named):
"
    .to_owned();
    for question in QUESTIONS {
        writeln!(text, "  {:<16} {}", question.name, question.asks)
            .expect("a String takes all text");
    }
    for family in FAMILIES {
        writeln!(text, "\nPeers, {}:", family.name).expect("a String takes all text");
        for peer in family.peers {
            writeln!(text, "  {:<16} {}", peer.name, peer.about).expect("a String takes all text");
        }
    }
    text
}

/// Reads a command line without the program's name.
///
/// # Errors
///
/// The sentence that names what cannot be understood.
pub(crate) fn read(arguments: &[String]) -> Result<Command, String> {
    let mut options = Options {
        questions: Vec::new(),
        peers: Vec::new(),
        with_python: false,
        is_quick: false,
        rounds: 5,
        longest_run: Duration::from_secs(30),
        out: None,
        words: words(arguments),
    };
    let mut rounds = None;
    let mut arguments = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--");
    while let Some(word) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{word} needs a value"));
        match word {
            "--help" | "-h" | "help" => return Ok(Command::Help),
            "serve" => {
                let (family, name) = (value()?, value()?);
                let peer = FAMILIES
                    .iter()
                    .find(|other| other.name == family)
                    .and_then(|family| family.find(name));
                let peer = peer.ok_or(format!("there is no peer {name:?} in {family:?}"))?;
                return Ok(Command::Serve(peer));
            }
            "--with-python" => options.with_python = true,
            "--quick" => options.is_quick = true,
            "--rounds" => rounds = Some(number(word, value()?)?),
            "--seconds" => {
                options.longest_run = Duration::from_secs(number(word, value()?)? as u64);
            }
            "--out" => options.out = Some(PathBuf::from(value()?)),
            "--peers" => {
                for name in value()?.split(',') {
                    if !FAMILIES.iter().any(|family| family.find(name).is_some()) {
                        return Err(format!("there is no peer {name:?}"));
                    }
                    options.peers.push(name.to_owned());
                }
            }
            name => match questions::find(name) {
                Some(question) => options.questions.push(question),
                None => return Err(format!("there is no question and no option {name:?}")),
            },
        }
    }
    if options.questions.is_empty() {
        options.questions = QUESTIONS.iter().collect();
    }
    options.rounds = rounds.unwrap_or(if options.is_quick { 1 } else { options.rounds });
    if options.out.is_none() && !options.is_quick {
        options.out = Some(PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/bench"
        )));
    }
    Ok(Command::Measure(options))
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!(
            "{option} needs a whole number above zero, found {text:?}"
        )),
    }
}

/// The command that leads here; a reader of a report can type it. Where the report goes is left
/// out: it changes nothing that is measured.
fn words(arguments: &[String]) -> String {
    let mut words = vec!["cargo xtask bench"];
    let mut arguments = arguments.iter().map(String::as_str).filter(|w| *w != "--");
    while let Some(word) = arguments.next() {
        if word == "--out" {
            arguments.next();
            continue;
        }
        if words.len() == 1 {
            words.push("--");
        }
        words.push(word);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        super::read(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn without_words_everything_is_measured_and_written() {
        let Ok(Command::Measure(options)) = read("--") else {
            panic!("no measurement")
        };
        assert_eq!(options.questions.len(), QUESTIONS.len());
        assert!(
            FAMILIES
                .iter()
                .all(|f| f.peers.iter().all(|p| options.wants(p.name)))
        );
        assert!(options.out.is_some());
        assert_eq!(options.words, "cargo xtask bench");
    }

    #[test]
    fn a_smoke_run_leaves_the_reports_alone() {
        let Ok(Command::Measure(options)) = read("--quick generator --peers axum") else {
            panic!("no measurement")
        };
        assert!(options.out.is_none());
        assert_eq!((options.rounds, options.questions.len()), (1, 1));
        assert!(options.wants("axum") && !options.wants("bellwether"));
    }

    #[test]
    fn a_report_says_what_was_measured_and_not_where_it_went() {
        let Ok(Command::Measure(options)) = read("fan-out --out somewhere --rounds 3") else {
            panic!("no measurement")
        };
        assert_eq!(options.words, "cargo xtask bench -- fan-out --rounds 3");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for line in [
            "nonsense",
            "--rounds",
            "--rounds 0",
            "--peers axum,nobody",
            "serve generator nobody",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
