//! JetStream's requests and responses, as far as a log needs them: JSON over NATS, by the JetStream wire API reference.
//!
//! These types are not those of the client crate, which follow the newest server. What is checked here must be read
//! from servers of any version, and a server leaves out what it does not know.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Why a request of JetStream's API failed.
#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    /// There is no connection at the moment, or it broke while the response was awaited.
    NotConnected,
    /// No response in time.
    TimedOut,
    /// No server responds to this: no JetStream, no such consumer, or a cluster without a leader.
    NoResponders,
    /// A response with an error.
    Fault(Fault),
    /// A response that cannot be read.
    Unreadable(String),
    /// The broker was shut down.
    ShutDown,
}

/// The `error` of a response.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

impl Fault {
    pub(crate) const NO_JETSTREAM_IN_ACCOUNT: u32 = 10039;
    pub(crate) const NO_MESSAGE: u32 = 10037;
    pub(crate) const STREAM_NAME_IN_USE: u32 = 10058;
    pub(crate) const STREAM_NOT_FOUND: u32 = 10059;
    pub(crate) const MESSAGE_TOO_LARGE: u32 = 10054;
}

impl ApiError {
    pub(crate) fn is_fault(&self, err_code: u32) -> bool {
        matches!(self, Self::Fault(fault) if fault.err_code == err_code)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotConnected => f.write_str("there is no connection to NATS at the moment"),
            Self::TimedOut => f.write_str("NATS did not answer in time"),
            Self::NoResponders => {
                f.write_str("no JetStream answers: it is not enabled, or its cluster has no leader")
            }
            Self::Fault(fault) => write!(
                f,
                "JetStream reports: {} ({})",
                fault.description, fault.err_code
            ),
            Self::Unreadable(what) => write!(f, "JetStream's response cannot be read: {what}"),
            Self::ShutDown => f.write_str("the log is shut down"),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for bellwether_topics::broker::BrokerError {
    fn from(error: ApiError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// Parses a response, or the error in it.
pub(crate) fn parse<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Probe {
        error: Option<Fault>,
    }
    let unreadable = |error: serde_json::Error| ApiError::Unreadable(error.to_string());
    let probe: Probe = serde_json::from_slice(answer).map_err(unreadable)?;
    match probe.error {
        Some(fault) => Err(ApiError::Fault(fault)),
        None => serde_json::from_slice(answer).map_err(unreadable),
    }
}

/// The response to `STREAM.INFO` and `STREAM.CREATE`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: StreamConfig,
    pub(crate) created: String,
    pub(crate) state: StreamState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// What decides whether a stream can hold a log. Sizes and counts of -1 or 0 mean no limit, times are nanoseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: String,
    pub(crate) discard: String,
    pub(crate) storage: String,
    pub(crate) max_msgs: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: u64,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) num_replicas: usize,
    pub(crate) duplicate_window: u64,
    pub(crate) deny_delete: bool,
    pub(crate) deny_purge: bool,
    pub(crate) allow_rollup_hdrs: bool,
    pub(crate) no_ack: bool,
    pub(crate) sealed: bool,
    pub(crate) mirror: Option<IgnoredAny>,
    pub(crate) sources: Option<Vec<IgnoredAny>>,
    pub(crate) subject_transform: Option<IgnoredAny>,
    pub(crate) allow_msg_ttl: bool,
    pub(crate) allow_msg_counter: bool,
    pub(crate) allow_msg_schedules: bool,
    pub(crate) persist_mode: Option<String>,
}

/// The part of the response to `CONSUMER.CREATE` that is used.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
}

/// The request for `CONSUMER.MSG.NEXT`. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Pull {
    pub(crate) batch: usize,
    /// Counts subjects and headers too. Zero for no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) max_bytes: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) expires: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) idle_heartbeat: usize,
    /// Whether to respond at once that there is nothing, instead of waiting.
    pub(crate) no_wait: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The response to a publish.
#[derive(Debug, Deserialize)]
pub(crate) struct PublishAck {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

/// The response to `STREAM.MSG.GET`.
#[derive(Debug, Deserialize)]
pub(crate) struct GetAnswer {
    pub(crate) message: RawMessage,
}

/// A stored message; headers and data are base64.
#[derive(Debug, Deserialize)]
pub(crate) struct RawMessage {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl RawMessage {
    pub(crate) fn data(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(&self.data).ok()
    }

    /// The value of a header, without the spaces around it.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let block = BASE64_STANDARD.decode(&self.hdrs).ok()?;
        let block = String::from_utf8(block).ok()?;
        let mut lines = block.lines();
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.trim().to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_value_or_its_error() {
        let fault = br#"{"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        let error = parse::<PublishAck>(fault).unwrap_err();
        assert!(error.is_fault(Fault::STREAM_NOT_FOUND));
        let ack: PublishAck = parse(br#"{"stream":"s","seq":7}"#).unwrap();
        assert_eq!((ack.seq, ack.duplicate), (7, false));
        assert!(matches!(
            parse::<PublishAck>(b"{"),
            Err(ApiError::Unreadable(_))
        ));
    }

    #[test]
    fn a_raw_message_gives_its_headers() {
        let message: RawMessage = serde_json::from_str(
            r#"{"subject":"a","seq":1,"hdrs":"TkFUUy8xLjANCkE6IDENCkIgOiB4DQpCOiB5DQoNCg==","data":"eA=="}"#,
        )
        .unwrap();
        assert_eq!(message.header("A").as_deref(), Some("1"));
        assert_eq!(message.header("B").as_deref(), Some("y"));
        assert_eq!(message.header("C"), None);
        assert_eq!(message.data().unwrap(), b"x");
    }
}
