//! [`Answer`]: one response, byte by byte and moment by moment.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

/// What the server does with one request.
///
/// Built in the order in which it happens. The default framing is chunked, each [`send`](Self::send) one chunk; the
/// default end is a clean one, after which the connection stays open for the next request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: ScriptFraming,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Bytes),
    SendForever(Bytes),
    Pause(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptFraming {
    Chunked,
    Length(usize),
    UntilClose,
    /// No head: the steps are the whole response.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finish,
    Cut,
    Reset,
    Hold,
    /// The connection is refused.
    Refused,
}

impl Answer {
    /// 200 with `Content-Type: text/event-stream`.
    #[must_use]
    pub fn event_stream() -> Self {
        Self::status(200).header("content-type", "text/event-stream")
    }

    /// A response with this status and no header field.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            framing: ScriptFraming::Chunked,
            steps: Vec::new(),
            end: End::Finish,
        }
    }

    /// This status, and a `Location`.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// No head: the client gets only what is sent.
    #[must_use]
    pub fn raw() -> Self {
        Self {
            framing: ScriptFraming::Raw,
            ..Self::status(0)
        }
    }

    /// The connection is refused, before any request.
    #[must_use]
    pub fn refused() -> Self {
        Self {
            end: End::Refused,
            ..Self::status(0)
        }
    }

    /// The request is read, and the connection closed without a response.
    #[must_use]
    pub fn empty_reply() -> Self {
        Self::raw().cut()
    }

    /// The request is read, and then nothing happens until the client leaves.
    #[must_use]
    pub fn silence() -> Self {
        Self::raw().hold()
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends bytes of the body at once.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push(Step::Send(bytes.into()));
        self
    }

    /// Sends bytes of the body in pieces of this size.
    #[must_use]
    pub fn send_in_pieces(mut self, bytes: impl Into<Bytes>, size: usize) -> Self {
        let mut bytes = bytes.into();
        while !bytes.is_empty() {
            let piece = bytes.split_to(size.clamp(1, bytes.len()));
            self.steps.push(Step::Send(piece));
        }
        self
    }

    /// Sends these bytes repeatedly until the client leaves.
    #[must_use]
    pub fn send_repeatedly(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push(Step::SendForever(bytes.into()));
        self
    }

    /// Waits, by tokio's clock.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Pause(pause));
        self
    }

    /// Announces `Content-Length`, the true one.
    #[must_use]
    pub fn with_length(mut self) -> Self {
        let sent = self.steps.iter().map(|step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::SendForever(_) | Step::Pause(_) => 0,
        });
        self.framing = ScriptFraming::Length(sent.sum());
        self
    }

    /// Announces this `Content-Length`, whatever is sent.
    #[must_use]
    pub fn with_length_of(mut self, bytes: usize) -> Self {
        self.framing = ScriptFraming::Length(bytes);
        self
    }

    /// Announces nothing: the body ends with the connection, as in HTTP/1.0.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.framing = ScriptFraming::UntilClose;
        self
    }

    /// Closes the connection (FIN) where the script ends, in the middle of the body or even before the head.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    /// Resets the connection (RST) where the script ends.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.end = End::Reset;
        self
    }

    /// Keeps the response open where the script ends, until the client leaves.
    #[must_use]
    pub fn hold(mut self) -> Self {
        self.end = End::Hold;
        self
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.end == End::Refused
    }

    /// The head as it goes out.
    pub(super) fn head(&self) -> String {
        let mut head = String::new();
        if self.framing == ScriptFraming::Raw {
            return head;
        }
        let version = match self.framing {
            ScriptFraming::UntilClose => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let mut line = |text: std::fmt::Arguments<'_>| {
            writeln!(head, "{text}\r").expect("a String takes all text");
        };
        line(format_args!("{version} {} Scripted", self.status));
        for (name, value) in &self.headers {
            line(format_args!("{name}: {value}"));
        }
        match self.framing {
            ScriptFraming::Chunked if self.has_body() => {
                line(format_args!("transfer-encoding: chunked"));
            }
            ScriptFraming::Length(length) => line(format_args!("content-length: {length}")),
            _ => {}
        }
        line(format_args!(""));
        head
    }

    /// Whether HTTP allows the response a body.
    pub(super) fn has_body(&self) -> bool {
        self.status >= 200 && self.status != 204 && self.status != 304
    }
}
