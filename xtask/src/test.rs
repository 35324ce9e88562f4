//! `cargo xtask test`: the tools, then every test there is.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::run::Step;
use crate::tally::{Runner, Tally, skip_reason};
use crate::{tools, workspace};

/// One set of packages and features for all steps, so that nothing is built twice.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

pub(crate) fn command() -> ExitCode {
    let mut tally = Tally::default();
    if !run(&mut tally) {
        return ExitCode::FAILURE;
    }
    tally.close()
}

/// Runs every test and adds it to the tally. Returns `false`, after printing why, if a tool is missing.
pub(crate) fn run(tally: &mut Tally) -> bool {
    if !tools::prepare() {
        return false;
    }
    // Tests start examples and binaries as programs, so these are built first.
    let build = step("build", &["build", "--examples", "--bins"]).run();
    if !build.is_success {
        tally.add_check("build", false);
        return true;
    }
    if tools::has_cargo_command("nextest") {
        nextest(tally);
    } else {
        // `--show-output` also shows what passing tests print, their reasons to skip among it.
        let arguments = ["test", "--all-targets", "--no-fail-fast"];
        let tests = step("tests", &arguments).args(&["--", "--show-output"].map(str::to_owned));
        tally.add_tests(Runner::Libtest, &tests.run());
    }
    let doc_tests = step("doc tests", &["test", "--doc", "--no-fail-fast"]);
    tally.add_tests(Runner::Libtest, &doc_tests.run());
    tally.add_tests(Runner::Libtest, &optimised().run());
    true
}

/// The tests of what the optimiser could change: that layers hold around the bodies of the delivery engine.
fn optimised() -> Step {
    let arguments = ["test", "--release", "-p", "bellwether", "--all-features"];
    let only = [
        "--test",
        "it",
        "--",
        "engine::taking",
        "--test-threads",
        "2",
    ];
    Step::cargo("tests of an optimised build", &arguments).args(&only.map(str::to_owned))
}

/// Every test in a process of its own, by cargo-nextest.
fn nextest(tally: &mut Tally) {
    let report = report_file();
    // An old report must not be taken for this run's.
    let _ = std::fs::remove_file(&report);
    let arguments = [
        "nextest",
        "run",
        "--no-fail-fast",
        "--config-file",
        ".ci/nextest.toml",
        "--profile",
        "ci",
    ];
    tally.add_tests(Runner::Nextest, &step("tests", &arguments).run());
    let report = std::fs::read_to_string(report).unwrap_or_default();
    tally.add_hidden_skips(skips_in(&report));
}

/// Where nextest writes the report: in its own store, which does not follow `CARGO_TARGET_DIR`.
fn report_file() -> PathBuf {
    workspace::root().join("target/nextest/ci/report.xml")
}

/// The reasons to skip in what tests printed, as the JUnit report keeps it.
///
/// Failing tests are left out: their output was shown, and read, with the run.
fn skips_in(report: &str) -> Vec<String> {
    let unescape = |text: &str| {
        ["&lt;<", "&gt;>", "&quot;\"", "&apos;'", "&amp;&"]
            .iter()
            .fold(text.to_owned(), |text, pair| {
                let (entity, character) = pair.split_at(pair.len() - 1);
                text.replace(entity, character)
            })
    };
    report
        .split("<testcase")
        .filter(|case| !case.contains("<failure"))
        .flat_map(str::lines)
        .filter_map(|line| skip_reason(line.trim_start_matches("<system-out>")))
        .map(|reason| unescape(reason.trim_end_matches("</system-out>")))
        .collect()
}

/// A step of cargo over everything, with the tools declared to be there.
fn step(name: &str, arguments: &[&str]) -> Step {
    let step = Step::cargo(name, arguments).args(&EVERYTHING.map(str::to_owned));
    let step = step.env("BELLWETHER_REQUIRE_TOOLS", "1");
    match tools::chromium() {
        Some(path) => step.env("CHROMIUM", &path),
        None => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_to_skip_are_found_in_the_report_of_passing_tests() {
        let report = "<testcase name=\"a\"><system-out>running 1 test\nSKIPPED: no &quot;x&quot; &amp; y\n\
            </system-out></testcase><testcase name=\"b\"><failure/><system-out>SKIPPED: shown\n</system-out>";
        assert_eq!(skips_in(report), ["no \"x\" & y"]);
    }
}
