//! `cargo xtask world`: hands over to the program that tries real clients and proxies.

use std::process::ExitCode;

use crate::run::Step;

pub(crate) fn command(arguments: &[String]) -> ExitCode {
    let words = ["run", "--quiet", "-p", "bellwether-world", "--"];
    let world = Step::cargo("world", &words);
    if world.args(arguments).run_in_front() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
