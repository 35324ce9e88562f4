//! The questions: each a file of its own that measures, and a line in the list.

mod generator;
mod idle_memory;

use crate::Result;
use crate::options::Options;
use crate::report::Answer;
use crate::server::Pins;

/// Something that is asked about every peer.
#[derive(Debug)]
pub(crate) struct Question {
    /// The name on the command line, and of the report's files.
    pub(crate) name: &'static str,
    /// The question itself, in one sentence.
    pub(crate) asks: &'static str,
    pub(crate) measure: fn(&Options, Pins) -> Result<Answer>,
}

/// Every question, in the order of a run.
pub(crate) static QUESTIONS: &[Question] = &[generator::QUESTION, idle_memory::QUESTION];

/// The question of this name.
pub(crate) fn find(name: &str) -> Option<&'static Question> {
    QUESTIONS.iter().find(|question| question.name == name)
}
