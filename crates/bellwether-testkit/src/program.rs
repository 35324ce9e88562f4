//! [`Program`]: a program started by a test: its address, its output, its signals, its end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::daemon::send_signal;
use crate::deadline::{TEST_TIMEOUT, within};

/// A running program that serves HTTP, with everything it has printed.
///
/// It is started with `PORT=0` and prints its address in its first line. Dropping the value kills the process (SIGKILL,
/// by its id).
#[derive(Debug)]
pub struct Program {
    child: Child,
    url: String,
    output: Output,
}

impl Program {
    /// Starts the program at `path` with these environment variables, and waits for its address.
    ///
    /// # Panics
    ///
    /// When it can't be started, exits at once, or prints no `http://…` address in time.
    pub async fn start(path: impl AsRef<Path>, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path.as_ref());
        command.envs(env.iter().copied());
        Self::start_command(command).await
    }

    /// Starts this command, with `PORT=0` unless it sets `PORT` itself, and waits for its address.
    ///
    /// # Panics
    ///
    /// As [`Program::start`] does.
    pub async fn start_command(mut command: Command) -> Self {
        if !command.as_std().get_envs().any(|(name, _)| name == "PORT") {
            command.env("PORT", "0");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let output = Output::default();
        output.collect(child.stdout.take().expect("stdout is piped"));
        output.collect(child.stderr.take().expect("stderr is piped"));
        let mut program = Self {
            child,
            url: String::new(),
            output,
        };
        let line = program.wait_for_line("http").await;
        program.url = address_in(&line)
            .unwrap_or_else(|| panic!("expected an http:// address, found {line:?}"))
            .to_owned();
        program
    }

    /// The address that the program printed, without a slash at its end: `http://127.0.0.1:41234`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port of [`Program::url`], to connect to: `127.0.0.1:41234`.
    #[must_use]
    pub fn addr(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, rest)| rest)
    }

    /// The process id; `None` once [`Program::wait_exit`] has seen the end.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// All lines printed so far, to stdout and stderr, in the order in which they were read.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output
            .lines()
            .iter()
            .map(|line| line.text.clone())
            .collect()
    }

    /// Waits for a line that contains `text`, on stdout or stderr, past or future.
    ///
    /// Each line is found once: a second call with the same text waits for the next such line.
    ///
    /// # Panics
    ///
    /// When the line does not come in time, or the program closes its output before.
    pub async fn wait_for_line(&mut self, text: &str) -> String {
        let mut news = self.output.news.subscribe();
        let search = async {
            loop {
                news.borrow_and_update();
                // Read before the search, so that a last line is not missed.
                let is_over = self.output.is_over();
                if let Some(line) = self.output.find(text) {
                    return Some(line);
                }
                if is_over || news.changed().await.is_err() {
                    return None;
                }
            }
        };
        match within(TEST_TIMEOUT, search).await {
            Some(Some(line)) => line,
            Some(None) => panic!(
                "the program ended without a line with {text:?}; {}",
                self.output
            ),
            None => panic!(
                "waited {TEST_TIMEOUT:?} for a line with {text:?}; {}",
                self.output
            ),
        }
    }

    /// Asks the program to stop (SIGTERM).
    ///
    /// # Panics
    ///
    /// When the program has already ended.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends a signal by its short name: `TERM`, `INT`, `HUP`, `STOP`, `CONT`.
    ///
    /// # Panics
    ///
    /// When the program has already ended, or the system knows no such signal.
    pub async fn signal(&self, name: &str) {
        let pid = self.id().expect("a signal goes to a running program");
        send_signal(pid, name).await;
    }

    /// Waits for the program's end, for at most `deadline`.
    ///
    /// # Panics
    ///
    /// When it is still running at the deadline.
    pub async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        match within(deadline, self.child.wait()).await {
            Some(status) => status.expect("a child can be awaited"),
            None => panic!(
                "the program did not end within {deadline:?}; {}",
                self.output
            ),
        }
    }
}

/// The built example `name` of the package `bellwether-examples`.
///
/// Cargo builds the examples of a package before its integration tests, into `examples/` beside the
/// folder of the test's own binary.
///
/// # Panics
///
/// When it is not built; the message names the command that builds it.
#[must_use]
pub fn example_path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test
        .ancestors()
        .find(|folder| folder.join("examples").is_dir())
        .unwrap_or_else(|| panic!("no folder examples/ above {}", test.display()));
    let path = profile
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build -p bellwether-examples --examples`",
        path.display()
    );
    path
}

/// The first address in a line, without a slash at its end.
fn address_in(line: &str) -> Option<&str> {
    let start = line.find("http://").or_else(|| line.find("https://"))?;
    let address = line[start..]
        .split(|c: char| c.is_whitespace() || "\"'<>),".contains(c))
        .next()?;
    Some(address.trim_end_matches('/'))
}

/// What a program has printed; shared with the tasks that read it.
#[derive(Clone, Debug)]
struct Output {
    /// The lines. Locked for a push or a search, never across an await.
    lines: Arc<Mutex<Vec<Line>>>,
    /// Changes with each line and at the end of each pipe; the value counts the pipes that ended.
    news: watch::Sender<u8>,
}

#[derive(Debug)]
struct Line {
    text: String,
    is_found: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            lines: Arc::default(),
            news: watch::Sender::new(0),
        }
    }
}

impl Output {
    /// Reads a pipe to its end in a task of its own, so that the program never waits for us.
    fn collect(&self, pipe: impl AsyncRead + Send + Unpin + 'static) {
        let output = self.clone();
        tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe
                .read_until(b'\n', &mut line)
                .await
                .is_ok_and(|bytes| bytes > 0)
            {
                let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                output.lines().push(Line {
                    text,
                    is_found: false,
                });
                output.news.send_modify(|_| {});
                line.clear();
            }
            output.news.send_modify(|ended| *ended += 1);
        });
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines
            .lock()
            .expect("nothing panics while it holds the lines")
    }

    fn find(&self, text: &str) -> Option<String> {
        let mut lines = self.lines();
        let line = lines
            .iter_mut()
            .find(|line| !line.is_found && line.text.contains(text))?;
        line.is_found = true;
        Some(line.text.clone())
    }

    /// Whether both pipes have ended.
    fn is_over(&self) -> bool {
        *self.news.borrow() == 2
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it printed:")?;
        for line in self.lines().iter() {
            write!(f, "\n  {}", line.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_at_a_space_a_quote_or_its_last_slash() {
        assert_eq!(
            address_in("Listening on http://127.0.0.1:8000/"),
            Some("http://127.0.0.1:8000")
        );
        assert_eq!(
            address_in("at \"http://[::1]:80\" now"),
            Some("http://[::1]:80")
        );
        assert_eq!(
            address_in("ready: https://localhost:1, stop by ^C"),
            Some("https://localhost:1")
        );
        assert_eq!(address_in("no address"), None);
    }
}
