//! Adding up what the test runners report, and the closing line.

use std::process::ExitCode;

use crate::run::Outcome;

/// A runner of tests, which decides how its summary is written.
///
/// Nextest shows what a failing test printed, and each test runs under libtest: only by knowing the runner
/// is a failure counted once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    /// `cargo test`: a line `test result:` for each binary.
    Libtest,
    /// `cargo nextest run`: a line `Summary [` for all.
    Nextest,
}

/// How many tests and checks passed, failed and were skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    /// The lines in which tests reported that they could not run here.
    skips: Vec<String>,
    /// The failures, for the list before the closing line.
    failures: Vec<String>,
}

impl Tally {
    /// Adds a runner of tests: its summary lines, and the lines that begin with `SKIPPED: `.
    ///
    /// A runner that fails without naming a failed test, by a compile error for instance, is one failure.
    pub(crate) fn add_tests(&mut self, runner: Runner, outcome: &Outcome) {
        let (mut passed, mut failed) = (0, 0);
        for line in &outcome.lines {
            let counts = counts_in(runner, line);
            passed += counts.0;
            failed += counts.1;
        }
        let skips: Vec<_> = outcome
            .lines
            .iter()
            .filter_map(|line| skip_reason(line))
            .collect();
        if !outcome.is_success {
            failed = failed.max(1);
            self.failures
                .push(format!("{}: {failed} failed", outcome.name));
        }
        // A test that skips itself counts as passed for its runner.
        self.passed += passed.saturating_sub(skips.len());
        self.failed += failed;
        self.skips.extend(skips.into_iter().map(str::to_owned));
    }

    /// Adds the skips that a runner hid because their tests passed.
    pub(crate) fn add_hidden_skips(&mut self, reasons: Vec<String>) {
        self.passed = self.passed.saturating_sub(reasons.len());
        self.skips.extend(reasons);
    }

    /// Adds one check that is no runner of tests.
    pub(crate) fn add_check(&mut self, name: &str, is_success: bool) {
        if is_success {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Adds a check that can't be made here.
    pub(crate) fn add_skip(&mut self, reason: &str) {
        self.skips.push(reason.to_owned());
    }

    /// Prints what failed and what was skipped, then the closing line; the exit code of the command.
    ///
    /// No test at all is a failure: something has hidden them.
    pub(crate) fn close(mut self) -> ExitCode {
        if self.passed + self.failed == 0 {
            self.add_check("no test ran", false);
        }
        println!();
        for failure in &self.failures {
            println!("FAILED: {failure}");
        }
        for reason in &self.skips {
            println!("SKIPPED: {reason}");
        }
        println!("{}", self.line());
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn line(&self) -> String {
        let counts = format!("{} passed, {} failed", self.passed, self.failed);
        match self.skips.len() {
            0 => counts,
            skipped => format!("{counts}, {skipped} skipped"),
        }
    }
}

/// The reason in a line `SKIPPED: reason`, in which a test reports that it could not run.
pub(crate) fn skip_reason(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("SKIPPED: ")
}

/// Passed and failed tests in a runner's summary line; zeros in any other line.
fn counts_in(runner: Runner, line: &str) -> (usize, usize) {
    let line = line.trim_start();
    match runner {
        Runner::Libtest if line.starts_with("test result:") => {
            (count(line, "passed"), count(line, "failed"))
        }
        Runner::Nextest if line.starts_with("Summary [") => {
            let failed = ["failed", "timed out", "exec failed"].map(|word| count(line, word));
            (count(line, "passed"), failed.iter().sum())
        }
        _ => (0, 0),
    }
}

/// The number before `word` in a list such as `3 passed; 1 failed`, or 0.
fn count(line: &str, word: &str) -> usize {
    line.split(['.', ':', ';', ',', '(', ')'])
        .filter_map(|part| part.trim().strip_suffix(word)?.trim().parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(is_success: bool, lines: &[&str]) -> Outcome {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Outcome {
            name: "runner".to_owned(),
            is_success,
            lines,
        }
    }

    #[test]
    fn summary_lines_of_both_runners_are_read() {
        let nextest = [
            (
                "     Summary [   0.494s] 28 tests run: 28 passed, 0 skipped",
                (28, 0),
            ),
            (
                "     Summary [   0.288s] 23/28 tests run: 22 passed (1 slow), 1 failed, 0 skipped",
                (22, 1),
            ),
            (
                "Summary [1s] 9 tests run: 5 passed, 2 failed, 1 timed out, 1 exec failed",
                (5, 4),
            ),
            (
                "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
                (0, 0),
            ),
        ];
        for (line, want) in nextest {
            assert_eq!(counts_in(Runner::Nextest, line), want, "{line}");
        }
        let libtest = [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured",
                (3, 0),
            ),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", (3, 2)),
            ("5 passed; 3 failed", (0, 0)),
        ];
        for (line, want) in libtest {
            assert_eq!(counts_in(Runner::Libtest, line), want, "{line}");
        }
    }

    #[test]
    fn counts_of_all_runners_are_summed_and_skips_are_no_passes() {
        let mut tally = Tally::default();
        let lines = ["test result: ok. 3 passed; 0 failed", "SKIPPED: no browser"];
        tally.add_tests(Runner::Libtest, &outcome(true, &lines));
        let lines = [
            "test result: FAILED. 0 passed; 1 failed",
            "Summary [1s] 4 tests run: 2 passed, 2 failed",
        ];
        tally.add_tests(Runner::Nextest, &outcome(false, &lines));
        assert_eq!(tally.line(), "4 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_one_failure() {
        let mut tally = Tally::default();
        tally.add_tests(
            Runner::Nextest,
            &outcome(false, &["error: could not compile"]),
        );
        assert_eq!(tally.line(), "0 passed, 1 failed");
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert_eq!(Tally::default().close(), ExitCode::FAILURE);
        let mut tally = Tally::default();
        tally.add_check("format", true);
        assert_eq!(tally.close(), ExitCode::SUCCESS);
    }
}
