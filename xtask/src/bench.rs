//! `cargo xtask bench`: hands over to the package of benches, built as users build.

use std::process::ExitCode;

use crate::run::Step;
use crate::workspace;

const PACKAGE: &str = "bellwether-bench";

pub(crate) fn command(arguments: &[String]) -> ExitCode {
    if !workspace::packages()
        .iter()
        .any(|package| package.name == PACKAGE)
    {
        println!("this workspace has no package {PACKAGE}");
        return ExitCode::FAILURE;
    }
    let bench = Step::cargo(
        "bench",
        &["run", "--release", "-p", PACKAGE, "--bin", "bench", "--"],
    );
    if bench.args(arguments).run_in_front() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
