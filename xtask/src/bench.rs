//! `cargo xtask bench`: runs the benches, a workspace of their own, built as users build.

use std::process::ExitCode;

use crate::run::Step;

const MANIFEST: &str = "benches/Cargo.toml";

pub(crate) fn command(arguments: &[String]) -> ExitCode {
    let words = ["run", "--release", "--manifest-path", MANIFEST, "--"];
    let bench = Step::cargo("bench", &words);
    if bench.args(arguments).run_in_front() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
