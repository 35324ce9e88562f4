//! The command as a child process: run to its end, or talked to while it runs.

use std::process::{ExitStatus, Stdio};

use bellwether_testkit::{TEST_TIMEOUT, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What a finished command has left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command
        .args(arguments)
        .env_remove("BELLWETHER_URL")
        .env_remove("BELLWETHER_TOKEN")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs to the end with this input.
pub(crate) async fn run(arguments: &[&str], input: &[u8]) -> Done {
    run_slowly(arguments, [input]).await
}

/// Runs to the end with input that is written piece by piece.
pub(crate) async fn run_slowly<'a>(
    arguments: &[&str],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Done {
    let mut child = command(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        for piece in pieces {
            // A command that has seen enough may leave before the end.
            if stdin.write_all(piece).await.is_err() {
                break;
            }
            // Lets the other side look at each piece by itself.
            tokio::task::yield_now().await;
        }
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let done = within(TEST_TIMEOUT, both).await.expect("the command ends");
    let done = done.unwrap();
    Done {
        code: done.status.code(),
        out: done.stdout,
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// Runs to the end in this environment, without input.
pub(crate) async fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = command(arguments);
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    let done = within(TEST_TIMEOUT, command.output()).await;
    let done = done.expect("the command ends").unwrap();
    Done {
        code: done.status.code(),
        out: done.stdout,
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// A command that runs while the test goes on.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Option<BufReader<ChildStdout>>,
    err: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            err: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// The next line of the output, without its break.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.out.as_mut().unwrap().read_line(&mut line);
        within(TEST_TIMEOUT, read)
            .await
            .expect("a line comes")
            .unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Waits for a line on standard error that contains this.
    pub(crate) async fn news(&mut self, text: &str) -> String {
        let search = async {
            loop {
                let mut line = String::new();
                let length = self.err.read_line(&mut line).await.unwrap();
                assert_ne!(length, 0, "no line with {text:?}");
                if line.contains(text) {
                    return line;
                }
            }
        };
        let found = within(TEST_TIMEOUT, search).await;
        found.unwrap_or_else(|| panic!("waited for a line with {text:?}"))
    }

    /// Closes the reading end of the output.
    pub(crate) fn close_output(&mut self) {
        self.out = None;
    }

    /// Closes the input.
    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid();
        let mut kill = Command::new("sh");
        kill.arg("-c").arg(format!("kill -{name} {pid}"));
        assert!(kill.status().await.unwrap().success());
    }

    /// Waits for the end; gives the exit status and the rest of standard error.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let end = async {
            let mut rest = String::new();
            self.err.read_to_string(&mut rest).await.unwrap();
            (self.child.wait().await.unwrap(), rest)
        };
        within(TEST_TIMEOUT, end).await.expect("the command ends")
    }
}
