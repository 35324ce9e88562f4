//! The memory of an idle subscription in a server whose routes are wrapped in layers.

use super::Question;
use super::layers::RATIOS;
use super::subscription_memory::{self, Idle};
use crate::Result;
use crate::field::Field;
use crate::peers::layers;
use crate::report::Answer;

pub(super) const QUESTION: Question = Question {
    name: "layers-memory",
    asks: "how much user-space memory does an idle subscription hold with layers around everything?",
    family: &layers::FAMILY,
    needs_all_cores: false,
    measure,
};

const IDLE: Idle = Idle {
    streams: 5_000,
    warm_up: 1_000,
};

#[expect(clippy::unnecessary_wraps, reason = "others can fail as a whole")]
fn measure(field: &Field<'_>) -> Result<Answer> {
    Ok(subscription_memory::answer(
        field,
        &layers::FAMILY,
        IDLE,
        &RATIOS,
        |_| Ok(None),
    ))
}
