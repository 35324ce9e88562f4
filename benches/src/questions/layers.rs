//! What one event costs for each reader when layers wrap all routes.

use super::costs::{Case, Costs, Ratio, deliver, names};
use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Pace;
use crate::peers::layers;
use crate::report::Answer;

pub(super) const QUESTION: Question = Question {
    name: "layers",
    asks: "how much server CPU does one event cost for each reader with layers around everything?",
    family: &layers::FAMILY,
    needs_all_cores: false,
    measure,
};

const CASES: [Case; 1] = [Case {
    name: "1000 readers, 1 in flight",
    readers: 1_000,
    publishers: 1,
    pace: Pace::Window(1),
    events: 400,
}];

pub(super) const RATIOS: [Ratio; 3] = [
    Ratio {
        head: "/ limit",
        peer: "limit",
    },
    Ratio {
        head: "/ axum-layers",
        peer: "axum-layers",
    },
    Ratio {
        head: "/ bellwether",
        peer: "bellwether",
    },
];

fn measure(field: &Field<'_>) -> Result<Answer> {
    let names = names(&CASES);
    let costs = Costs::measure(field, &names, |peer, place| {
        deliver(&layers::FAMILY, peer, CASES[place], None, field)
    });
    let method = format!(
        "The layers are tower-http's `TraceLayer::new_for_http()`, with no subscriber to its traces, and \
         `CorsLayer::permissive()` around it. A client publishes events with {PAYLOAD_BYTES} bytes of data by \
         `POST /publish`; the next one goes when the last reader has the previous one. Every reader checks every \
         number. CPU is user and system time of the server process, publishing included, over all deliveries, \
         after a warm-up; each run has a fresh server.",
    );
    Ok(costs.answer(field, &names, &RATIOS, method))
}
