//! `cargo xtask world`: runs the program that tries real clients and proxies.

use std::process::ExitCode;

use crate::run::Step;

/// Tries a selection of the clients and proxies, as one check. A client that gets less than from a minimal server fails
/// it.
pub(crate) fn check() -> bool {
    let words = ["run", "--quiet", "-p", "bellwether-world", "--", "--short"];
    Step::cargo("world", &words).run().is_success
}

pub(crate) fn command(arguments: &[String]) -> ExitCode {
    let words = ["run", "--quiet", "-p", "bellwether-world", "--"];
    let world = Step::cargo("world", &words);
    if world.args(arguments).run_in_front() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
