//! What one event costs for each reader when publishers wait for the answer to each request.

use super::costs::{Case, Costs, Ratio, deliver, names};
use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Pace;
use crate::peers::fan_out;
use crate::report::Answer;

pub(super) const QUESTION: Question = Question {
    name: "unpipelined",
    asks: "how much server CPU does one event cost for each reader when publishers await each answer?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

const CASES: [Case; 3] = [
    Case {
        name: "1 publisher, awaits",
        readers: 1_000,
        publishers: 1,
        pace: Pace::Answered(16),
        events: 1_600,
    },
    Case {
        name: "16 publishers, await",
        readers: 1_000,
        publishers: 16,
        pace: Pace::Answered(16),
        events: 1_600,
    },
    Case {
        name: "1 publisher, pipelines",
        readers: 1_000,
        publishers: 1,
        pace: Pace::Window(16),
        events: 1_600,
    },
];

const RATIOS: [Ratio; 2] = [
    Ratio {
        head: "/ limit",
        peer: "limit",
    },
    Ratio {
        head: "/ axum",
        peer: "axum",
    },
];

fn measure(field: &Field<'_>) -> Result<Answer> {
    let names = names(&CASES);
    let costs = Costs::measure(field, &names, |peer, place| {
        deliver(&fan_out::FAMILY, peer, CASES[place], None, field)
    });
    let method = format!(
        "1,000 readers of one topic; events have {PAYLOAD_BYTES} bytes of data, and at most 16 are in flight. \
         A publisher that awaits sends its next `POST /publish` when the last one was answered, on a connection \
         of its own; the one that pipelines sends up to 16 without an answer, as in `fan-out`. Every reader checks \
         every number; the events of 16 publishers may come in any order. CPU is user and system time of the \
         server process, publishing included, over all deliveries, after a warm-up; each run has a fresh server. \
         How many events a reader gets by one system call depends on how many wait when its turn comes, so the \
         pace of the load on the other core matters.",
    );
    Ok(costs.answer(field, &names, &RATIOS, method))
}
