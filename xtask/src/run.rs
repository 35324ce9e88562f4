//! Running one command as a named, timed step, with its output shown and kept.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use crate::workspace;

/// A command that is about to run in the workspace's root.
pub(crate) struct Step {
    name: String,
    command: Command,
}

/// The outcome of a step.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) is_success: bool,
    /// Stdout and stderr, line by line in the order of arrival.
    pub(crate) lines: Vec<String>,
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(workspace::root())
            .stdin(Stdio::null());
        Self {
            name: name.into(),
            command,
        }
    }

    /// A step of the cargo that runs us.
    pub(crate) fn cargo(name: impl Into<String>, arguments: &[&str]) -> Self {
        Self::new(name, &workspace::cargo(), arguments)
    }

    pub(crate) fn args(mut self, arguments: &[String]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs the step, shows its output line by line as it comes, and prints the time that it took.
    pub(crate) fn run(mut self) -> Outcome {
        println!("\n== {}: {}", self.name, self.words());
        let started = Instant::now();
        let mut lines = Vec::new();
        // Progress bars are for a screen, and this output is read line by line.
        self.command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        let child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let is_success = match child {
            Ok(mut child) => {
                let (sender, arriving) = channel();
                let pipes = [
                    child
                        .stdout
                        .take()
                        .map(|pipe| forward(pipe, sender.clone())),
                    child.stderr.take().map(|pipe| forward(pipe, sender)),
                ];
                for line in arriving {
                    println!("{line}");
                    lines.push(line);
                }
                for reader in pipes.into_iter().flatten() {
                    reader.join().expect("a reader of lines does not panic");
                }
                child.wait().is_ok_and(|status| status.success())
            }
            Err(error) => {
                println!("could not start it: {error}");
                false
            }
        };
        let seconds = started.elapsed().as_secs_f32();
        let word = if is_success { "done" } else { "FAILED" };
        println!("-- {}: {word} in {seconds:.1} s", self.name);
        Outcome {
            name: self.name,
            is_success,
            lines,
        }
    }

    /// Runs the step with our own input and output. Returns whether it succeeded.
    pub(crate) fn run_in_front(mut self) -> bool {
        self.command
            .stdin(Stdio::inherit())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs the step without showing its output. Returns its stdout, or `None` if it failed.
    pub(crate) fn ask(mut self) -> Option<String> {
        let output = self.command.output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command as it would be typed.
    fn words(&self) -> String {
        let program = Path::new(self.command.get_program());
        let mut words = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for argument in self.command.get_args() {
            write!(words, " {}", argument.to_string_lossy()).expect("a String takes all text");
        }
        words
    }
}

/// Sends the lines of a pipe from a thread of its own, so that neither pipe fills up.
fn forward(pipe: impl Read + Send + 'static, lines: Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if lines.send(text).is_err() {
                return;
            }
            line.clear();
        }
    })
}
