//! [`Driver`]: a running client, and what it has handed to its user.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// How long a browser may take to end, with its processes and its profile.
const BROWSER_END: Duration = Duration::from_secs(30);

/// An event as a client handed it over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty where the client has none, or shows none.
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// What a client has printed so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) events: Vec<Event>,
    /// How it ended, once it has: `over`, `closed`, or the name of an error.
    pub(crate) end: Option<String>,
    /// The words of the error.
    pub(crate) message: String,
}

/// A client's process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    heard: Arc<Mutex<Heard>>,
}

impl Driver {
    /// Starts the command; what it prints is printed too if `is_shown`.
    pub(crate) fn start(command: &[String], is_shown: bool) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("there is no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            // The drivers are read from the repository, which stays clean.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("could not start {program}: {error}"))?;
        let heard = Arc::<Mutex<Heard>>::default();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        tokio::spawn(read(stdout, Arc::clone(&heard), is_shown));
        // Read so that it never fills up; the kind of an error is in the events.
        tokio::spawn(read(stderr, Arc::default(), is_shown));
        Ok(Self { child, heard })
    }

    /// What the client has printed so far. A process that has ended without a message has ended all the same.
    pub(crate) fn heard(&mut self) -> Heard {
        // Asked first, so that the last lines of an ended process are more likely read.
        let has_ended = matches!(self.child.try_wait(), Ok(Some(_)));
        let mut heard = lock(&self.heard).clone();
        if has_ended && heard.end.is_none() {
            heard.end = Some("ended".to_owned());
        }
        heard
    }

    /// Ends the client. A browser's driver is asked first, by closing its input, as it has a browser to end.
    pub(crate) async fn stop(mut self, is_browser: bool) -> Heard {
        let heard = self.heard();
        drop(self.child.stdin.take());
        if is_browser {
            let _ = tokio::time::timeout(BROWSER_END, self.child.wait()).await;
        }
        let _ = self.child.kill().await;
        heard
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("nothing panics while it holds it")
}

async fn read(pipe: impl AsyncRead + Unpin, heard: Arc<Mutex<Heard>>, is_shown: bool) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|bytes| bytes > 0)
    {
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        if is_shown {
            println!("    {text}");
        }
        lock(&heard).push(&text);
        line.clear();
    }
}

impl Heard {
    /// Takes a line of a driver; one that is no JSON is a client's own chatter.
    fn push(&mut self, line: &str) {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            return;
        };
        let text = |name: &str| match line.get(name) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        if line.contains_key("end") {
            // The first message about the end counts: the rest is clearing up.
            if self.end.is_none() {
                self.end = Some(text("end"));
                self.message = text("message");
            }
        } else {
            self.events.push(Event {
                id: text("id"),
                event: text("event"),
                data: text("data"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_drivers_are_events_and_one_end() {
        let mut heard = Heard::default();
        for line in [
            r#"{"id":"1","event":"message","data":"a\nb"}"#,
            "('Connection broken: …')",
            r#"{"id":null,"event":"message","data":""}"#,
            r#"{"end":"ReadError","message":"cut"}"#,
            r#"{"end":"over"}"#,
        ] {
            heard.push(line);
        }
        assert_eq!(heard.events.len(), 2);
        assert_eq!(heard.events[0].data, "a\nb");
        assert_eq!(heard.events[1].id, "");
        assert_eq!(heard.end.as_deref(), Some("ReadError"));
        assert_eq!(heard.message, "cut");
    }
}
