//! What a command of a page answers, beside what the page shows.

use std::process::Stdio;

use tokio::process::Command;

/// What a command wrote to its standard output, and whether it went well.
pub(super) struct Answer {
    pub(super) out: String,
    pub(super) succeeded: bool,
}

/// Runs a line of the shell, without what curl says about its progress.
pub(super) async fn answer(line: &str) -> Answer {
    let output = Command::new("sh")
        .args(["-c", line])
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("there is a shell");
    Answer {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        succeeded: output.status.success(),
    }
}

/// Nothing, if both say the same but for numbers that each stream draws.
pub(super) fn differences(shown: &str, seen: &str) -> String {
    if drawn(shown) == drawn(seen) {
        return String::new();
    }
    format!("shown:\n{shown}seen:\n{seen}")
}

/// The text with each `retry:` the same: a stream draws its own, and so may a page.
fn drawn(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        match line.strip_prefix("retry: ").map(str::parse::<u64>) {
            Some(Ok(2000..=4000)) => "retry: 2000 to 4000",
            Some(Ok(15_000..=30_000)) => "retry: 15000 to 30000",
            _ => line.trim_end(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn another_answer_is_a_difference_and_another_retry_is_none() {
    assert_eq!(
        differences("retry: 2100\ndata: 1\n\n", "retry: 3999\ndata: 1\n\n"),
        ""
    );
    assert_ne!(
        differences("retry: 2100\ndata: 1\n\n", "retry: 4001\ndata: 1\n\n"),
        ""
    );
    assert_ne!(differences("data: 1\n", "data: 2\n"), "");
}
