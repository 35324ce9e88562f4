//! The memory of an idle subscription in a server behind TLS.

use super::Question;
use super::subscription_memory::{self, Idle};
use super::tls::{RATIOS, trust};
use crate::Result;
use crate::field::Field;
use crate::peers::tls;
use crate::report::Answer;

pub(super) const QUESTION: Question = Question {
    name: "tls-memory",
    asks: "how much user-space memory does an idle subscription hold behind TLS 1.3?",
    family: &tls::FAMILY,
    needs_all_cores: false,
    measure,
};

const IDLE: Idle = Idle {
    streams: 2_000,
    warm_up: 500,
};

#[expect(clippy::unnecessary_wraps, reason = "others can fail as a whole")]
fn measure(field: &Field<'_>) -> Result<Answer> {
    Ok(subscription_memory::answer(
        field,
        &tls::FAMILY,
        IDLE,
        &RATIOS,
        trust,
    ))
}
