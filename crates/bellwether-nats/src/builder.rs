//! [`NatsBuilder`]: the settings of a log on NATS, and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{ApiError, Fault};
use crate::broker::NatsBroker;
use crate::error::{ConnectError, Kind};
use crate::link::{self, Link, Login};
use crate::observe::Metrics;
use crate::settings::{self, Wanted};
use crate::shared::Shared;

const STREAM: &str = "bellwether";
const TIMEOUT: Duration = Duration::from_secs(4);
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// The shortest maximum age, so that a marker is stored in time.
const MIN_MAX_AGE: Duration = Duration::from_secs(10);

/// The settings of a log on NATS. Each has a default that is safe to keep.
///
/// The stream is created with these limits and replicas. If it already exists, each limit that was set here must equal
/// the stream's, and the others are taken as they are. [`subject_prefix`](Self::subject_prefix) must always be the
/// stream's.
///
/// ```
/// use std::time::Duration;
///
/// use bellwether_nats::NatsBroker;
///
/// let builder = NatsBroker::builder("nats://user:secret@127.0.0.1")
///     .stream("prices")
///     .max_records(100_000)
///     .max_age(Duration::from_secs(24 * 3600));
/// assert!(!format!("{builder:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[must_use = "settings do nothing until `connect`"]
pub struct NatsBuilder {
    address: String,
    login: Login,
    domain: Option<String>,
    wanted: Wanted,
    has_prefix: bool,
    timeout: Duration,
}

impl NatsBuilder {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            login: Login::default(),
            domain: None,
            wanted: Wanted {
                stream: STREAM.to_owned(),
                subject_prefix: STREAM.to_owned(),
                ..Wanted::default()
            },
            has_prefix: false,
            timeout: TIMEOUT,
        }
    }

    /// Name of the stream, and prefix of its subjects unless [`subject_prefix`](Self::subject_prefix) sets another.
    /// Default: `bellwether`.
    ///
    /// ASCII letters, digits, `-` and `_`. All nodes with the same name on the same servers share one log.
    pub fn stream(mut self, name: &str) -> Self {
        name.clone_into(&mut self.wanted.stream);
        if !self.has_prefix {
            name.clone_into(&mut self.wanted.subject_prefix);
        }
        self
    }

    /// Prefix of the subjects; the topic follows as one more token. Default: the stream's name.
    ///
    /// Tokens of ASCII letters, digits, `-` and `_`, with dots between. Messages of other programs under the prefix
    /// reach no reader, but take up numbers of the log.
    pub fn subject_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.wanted.subject_prefix);
        self.has_prefix = true;
        self
    }

    /// JetStream domain, for a log behind a leaf node. Default: none.
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// User and password, used before those in the address. Default: none.
    pub fn user_and_password(mut self, user: &str, password: &str) -> Self {
        self.login.user = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Token, used before one in the address. Default: none.
    pub fn token(mut self, token: &str) -> Self {
        self.login.token = Some(token.to_owned());
        self
    }

    /// Maximum number of records that the log keeps; the oldest are removed first. Default: 1,000,000. Zero for no
    /// limit. With too few, readers that come back late get a gap (`trimmed`).
    pub fn max_records(mut self, records: u64) -> Self {
        self.wanted.max_records = Some(records);
        self
    }

    /// Maximum size of the log in bytes, subjects and headers included; the oldest records are removed first. Default:
    /// 1 GiB. Zero for no limit.
    ///
    /// It must be at least twice the server's `max_payload`, so that the newest record always stays. The server
    /// reserves the space, and refuses the stream if it has less.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.wanted.max_bytes = Some(bytes);
        self
    }

    /// Maximum age of a record, at least 10 s. Default: 7 days. Zero for no limit.
    ///
    /// The newest record must stay, or no reader could prove its position in a quiet log. So a node that follows the
    /// log stores a marker, which no reader gets, when the newest record has a quarter of this age.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.wanted.max_age = Some(age);
        self
    }

    /// Time for which the server remembers idempotency keys. Default: 2 minutes, or [`max_age`](Self::max_age) if that
    /// is shorter. A window shorter than a publisher's retries stores an event twice.
    ///
    /// The server keeps about 230 bytes in memory for each record of that time, those without a key included: 30 MB at
    /// 1,000 records a second and two minutes.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.wanted.idempotency_window = Some(window);
        self
    }

    /// Number of servers of a cluster that store each record: 1, 3 or 5. Default: 1, so that the log is unavailable
    /// while that server is down.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.wanted.replicas = Some(replicas);
        self
    }

    /// Maximum time of a call, including connecting and the reconnects during an append; at least 100 ms. Default: 4 s.
    /// A node gives up on a call after 5 s, so with a larger value its error no longer names what the call waited for.
    /// Too small a value makes publishes fail during a short outage.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(MIN_TIMEOUT);
        self
    }

    /// Connects, and creates the stream if it does not exist.
    ///
    /// From then on a connection that breaks is replaced without end, and calls fail meanwhile.
    ///
    /// # Errors
    ///
    /// - [`ConnectError::is_invalid`]: a setting is not valid: correct it.
    /// - [`ConnectError::is_unreachable`]: no server answers: start it, or try again later.
    /// - [`ConnectError::is_unauthorized`]: the server refuses the user, or the user may not use JetStream's API.
    /// - [`ConnectError::is_unsupported`]: no JetStream, no room, subjects of another stream.
    /// - [`ConnectError::is_unsuitable`]: the stream exists with settings under which records would be removed or
    ///   changed without a trace, or with other limits than were set here. The message names them.
    pub async fn connect(self) -> Result<NatsBroker, ConnectError> {
        self.check()?;
        let metrics = Arc::new(Metrics::new());
        let api = match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        };
        let link = Link::connect(
            &self.address,
            self.login,
            api,
            self.timeout,
            metrics.clone(),
        )
        .await?;
        let address = link::redact(&self.address);
        let shared = Shared::new(link, self.wanted, self.timeout, metrics);
        let info = shared.info().await;
        let info = info.map_err(|error| no_stream(&address, shared.stream(), error))?;
        let mut faults: Vec<String> = settings::faults(
            &info.config,
            &shared.wanted.subject(),
            shared.link.client().max_payload(),
        )
        .into_iter()
        .map(ToOwned::to_owned)
        .collect();
        faults.extend(shared.wanted.differences(&info.config));
        if !faults.is_empty() {
            let message = format!(
                "stream {:?} at {address} has other settings than this log needs: {}; change them with `nats stream edit`, \
                 or choose another stream",
                shared.stream(),
                faults.join("; ")
            );
            return Err(ConnectError::new(Kind::Unsuitable, message));
        }
        // Reads the epoch, and stores a marker if all records are gone.
        shared.fetch_state().await.map_err(|error| {
            let message = format!("stream {:?} at {address} does not answer", shared.stream());
            ConnectError::new(Kind::Unreachable, message).with_source(error)
        })?;
        Ok(NatsBroker::new(shared, address))
    }

    fn check(&self) -> Result<(), ConnectError> {
        let invalid = |message: String| Err(ConnectError::new(Kind::Invalid, message));
        let is_token = |text: &str| {
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            !text.is_empty() && text.bytes().all(is_allowed)
        };
        let Wanted {
            stream,
            subject_prefix,
            max_age,
            ..
        } = &self.wanted;
        let allowed = "ASCII letters, digits, - and _";
        if !is_token(stream) {
            return invalid(format!(
                "stream {stream:?} is no name of a stream: {allowed}"
            ));
        }
        if !subject_prefix.split('.').all(is_token) || subject_prefix.len() > 255 {
            return invalid(format!(
                "subject prefix {subject_prefix:?} is not valid: at most 255 of {allowed}, with dots between"
            ));
        }
        if let Some(domain) = self.domain.as_deref().filter(|domain| !is_token(domain)) {
            return invalid(format!(
                "domain {domain:?} is no JetStream domain: {allowed}"
            ));
        }
        match max_age {
            Some(age) if !age.is_zero() && *age < MIN_MAX_AGE => invalid(format!(
                "maximum age {age:?} is too short: at least {MIN_MAX_AGE:?}, or zero for none"
            )),
            _ => Ok(()),
        }
    }
}

fn no_stream(address: &str, stream: &str, error: ApiError) -> ConnectError {
    let (kind, message) = match &error {
        ApiError::NoResponders => (
            Kind::Unsupported,
            format!(
                "the NATS server at {address} has no JetStream: start it with -js or a jetstream block in its configuration"
            ),
        ),
        ApiError::Fault(fault) if fault.err_code == Fault::NO_JETSTREAM_IN_ACCOUNT => (
            Kind::Unsupported,
            format!("JetStream is not enabled for this user's account at {address}"),
        ),
        ApiError::Fault(_) => (
            Kind::Unsupported,
            format!("stream {stream:?} could not be created at {address}"),
        ),
        // A request that is not allowed gets no answer.
        ApiError::TimedOut => (
            Kind::Unauthorized,
            format!(
                "JetStream at {address} did not answer: the user may lack the permission to publish to $JS.API.> and to \
                 subscribe to _INBOX.>"
            ),
        ),
        _ => (
            Kind::Unreachable,
            format!("the connection to {address} broke while it was set up"),
        ),
    };
    ConnectError::new(kind, message).with_source(error)
}

impl fmt::Debug for NatsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBuilder")
            .field("address", &link::redact(&self.address))
            .field("wanted", &self.wanted)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
