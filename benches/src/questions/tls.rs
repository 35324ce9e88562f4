//! What one event costs for each reader behind TLS.

use super::costs::{Case, Costs, Ratio, deliver, names};
use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Pace;
use crate::load::stream::Trust;
use crate::peers::{Peer, tls};
use crate::report::Answer;

pub(super) const QUESTION: Question = Question {
    name: "tls",
    asks: "how much server CPU does one event cost for each reader that it reaches by TLS 1.3?",
    family: &tls::FAMILY,
    needs_all_cores: false,
    measure,
};

const CASES: [Case; 1] = [Case {
    name: "500 readers, 1 in flight",
    readers: 500,
    publishers: 1,
    pace: Pace::Window(1),
    events: 800,
}];

pub(super) const RATIOS: [Ratio; 2] = [
    Ratio {
        head: "/ axum",
        peer: "axum",
    },
    Ratio {
        head: "/ bellwether-plain",
        peer: "bellwether-plain",
    },
];

fn measure(field: &Field<'_>) -> Result<Answer> {
    let names = names(&CASES);
    let costs = Costs::measure(field, &names, |peer, place| {
        deliver(&tls::FAMILY, peer, CASES[place], trust(peer)?, field)
    });
    let method = format!(
        "Readers and publisher speak HTTP/1.1 by TLS 1.3, by rustls with ring on both sides and a certificate \
         (ECDSA P-256) that the bench makes. The publisher sends events with {PAYLOAD_BYTES} bytes of data by \
         `POST /publish`; the next one goes when the last reader has the previous one. Every reader checks every \
         number. CPU is user and system time of the server process, publishing included, over all deliveries, \
         after all handshakes and a warm-up; each run has a fresh server.",
    );
    Ok(costs.answer(field, &names, &RATIOS, method))
}

/// What the clients of a peer trust; nothing where it is plain.
pub(super) fn trust(peer: &Peer) -> Result<Option<Trust>> {
    if !tls::is_encrypted(peer) {
        return Ok(None);
    }
    let [certificate, _] = tls::files()?;
    Trust::of(&certificate).map(Some)
}
