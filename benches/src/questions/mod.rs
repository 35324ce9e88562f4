//! The questions: each a file of its own that measures, and a line in the list. [`beside`], [`costs`] and
//! [`subscription_memory`] are what some of them share.

mod beside;
mod broker_delivery;
mod broker_publish;
mod broker_replay;
mod broker_resume;
mod connect;
mod costs;
mod fan_out;
mod generator;
mod http2;
mod idle_memory;
mod idle_subscription;
mod latency;
mod layers;
mod layers_memory;
mod stuck;
mod stuck_crowd;
mod subscription_memory;
mod tls;
mod tls_memory;
mod unpipelined;

use crate::Result;
use crate::field::Field;
use crate::peers::Family;
use crate::report::Answer;

/// The data of an event in the questions about topics.
const PAYLOAD_BYTES: usize = 100;

/// Something that is asked about every peer.
#[derive(Debug)]
pub(crate) struct Question {
    /// The name on the command line, and of the report's files.
    pub(crate) name: &'static str,
    /// The question itself, in one sentence.
    pub(crate) asks: &'static str,
    /// Who can answer it.
    pub(crate) family: &'static Family,
    /// Whether its servers need more than the one core that keeps them from the load.
    pub(crate) needs_all_cores: bool,
    pub(crate) measure: fn(&Field<'_>) -> Result<Answer>,
}

/// Every question, in the order of a run.
pub(crate) static QUESTIONS: &[Question] = &[
    fan_out::QUESTION,
    unpipelined::QUESTION,
    layers::QUESTION,
    tls::QUESTION,
    http2::QUESTION,
    latency::QUESTION,
    stuck::QUESTION,
    stuck_crowd::QUESTION,
    connect::QUESTION,
    idle_subscription::QUESTION,
    layers_memory::QUESTION,
    tls_memory::QUESTION,
    generator::QUESTION,
    idle_memory::QUESTION,
    broker_publish::QUESTION,
    broker_delivery::QUESTION,
    broker_replay::QUESTION,
    broker_resume::QUESTION,
];

/// The question of this name.
pub(crate) fn find(name: &str) -> Option<&'static Question> {
    QUESTIONS.iter().find(|question| question.name == name)
}
