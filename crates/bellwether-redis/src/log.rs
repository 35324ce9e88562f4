//! [`Log`]: what all parts of a broker share of one log, and the first connection to its server.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{NewRecord, Page};
use redis::Value;

use crate::append;
use crate::builder::Settings;
use crate::check::Info;
use crate::error::ConnectError;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::link::{Server, checked};
use crate::reply;
use crate::scripts::{Digests, LogCheck};
use crate::seen::Seen;

/// A log on its server: its keys, its settings, and the newest record seen.
pub(crate) struct Log {
    pub(crate) server: Arc<Server>,
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) digests: Digests,
    pub(crate) seen: Seen,
}

/// The arguments of the script that reads.
#[derive(Default)]
pub(crate) struct PageOf<'a> {
    pub(crate) from: Offset,
    pub(crate) topics: Option<&'a [Arc<str>]>,
    /// The records beside the one at `from`; zero for only the ends and the tag of that record.
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

impl Log {
    /// Remembers how far the log goes, and logs the damage in the page that was not known yet.
    pub(crate) fn note_page(&self, page: &Page) {
        self.seen.advance(page.epoch, page.head);
        self.server.damage.log_new(self, &page.records);
    }

    pub(crate) fn add_run(
        &self,
        commands: &mut redis::Pipeline,
        run: &[NewRecord],
        is_thorough: bool,
    ) {
        let Self {
            keys,
            settings,
            digests,
            ..
        } = self;
        let check = self.log_check(is_thorough);
        append::add_run(commands, run, keys, settings, digests, &check);
    }

    /// Adds the call of a script, with the arguments that all of them take first.
    pub(crate) fn add_script<'a>(
        &self,
        commands: &'a mut redis::Pipeline,
        digest: &str,
        is_thorough: bool,
    ) -> &'a mut redis::Pipeline {
        let keys = &self.keys;
        let command = commands.cmd("EVALSHA").arg(digest).arg(3);
        command.arg(&keys.log).arg(&keys.about).arg(&keys.topics);
        command.arg(self.log_check(is_thorough))
    }

    fn log_check(&self, is_thorough: bool) -> LogCheck {
        LogCheck {
            is_thorough,
            seen: self.seen.argument(),
        }
    }

    /// Adds the call that reads a page.
    pub(crate) fn add_read(
        &self,
        commands: &mut redis::Pipeline,
        page_of: &PageOf<'_>,
        is_thorough: bool,
    ) {
        let command = self.add_script(commands, &self.digests.read, is_thorough);
        command
            .arg(reply::id(page_of.from))
            .arg(page_of.max_records)
            .arg(page_of.max_bytes);
        for topic in page_of.topics.into_iter().flatten() {
            command.arg(&**topic);
        }
    }
}

pub(crate) fn client(url: &str) -> Result<redis::Client, ConnectError> {
    let is_tls = url.starts_with("rediss:") || url.starts_with("valkeys:");
    if is_tls && !cfg!(feature = "tls") {
        return Err(ConnectError::settings(
            "an address with TLS needs the feature `tls` of bellwether-redis",
        ));
    }
    if redis::parse_redis_url(url).is_none() {
        // The URL may contain a password.
        return Err(ConnectError::settings(
            "the address is no URL of a Redis server: expected \
             redis://[user:password@]host[:port][/database], rediss:// with TLS, or unix:///path",
        ));
    }
    redis::Client::open(url).map_err(|error| {
        ConnectError::settings("the URL of the Redis server has a part that is wrong")
            .with_source(Failure::from(error))
    })
}

/// Connects once, checks the server and loads the scripts.
pub(crate) async fn prepare(
    server: &Server,
    settings: &Settings,
) -> Result<Result<Digests, ConnectError>, Failure> {
    let connection = server.open().await?;
    let mut commands = redis::pipe();
    commands.cmd("INFO");
    let answer = connection.send(&commands).await?.pop();
    let info = match answer.map(checked) {
        Some(Ok(Value::BulkString(text))) => Info::parse(&String::from_utf8_lossy(&text)),
        Some(Ok(Value::VerbatimString { text, .. })) => Info::parse(&text),
        // Some users may not run `INFO`.
        Some(Err(Failure::ErrorReply(reply))) if reply.has_code("NOPERM") => Info::default(),
        Some(Err(failure)) => return Err(failure),
        _ => Info::default(),
    };
    if let Err(error) = info.check(&server.address, settings.allows_eviction) {
        return Ok(Err(error));
    }
    Ok(Ok(connection.load_scripts().await?))
}
