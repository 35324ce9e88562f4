//! [`Failure`]: an internal error, with a message for the operator.

use std::sync::Arc;

use bellwether_topics::broker::BrokerError;
use rusqlite::ErrorCode;

use crate::error::OpenError;

/// Why a call did not work.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    source: Option<Arc<rusqlite::Error>>,
}

/// The kind of failure, which is also the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No room on the disk.
    Full,
    /// Another program holds the file's write lock.
    Busy,
    /// The disk, or what is between it and this process.
    Io,
    /// What was read is not valid.
    Damaged,
    /// The file is no longer at its path.
    Moved,
    /// Anything else.
    Other,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Full,
        Self::Busy,
        Self::Io,
        Self::Damaged,
        Self::Moved,
        Self::Other,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Io => "io",
            Self::Damaged => "damaged",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }

    /// Whether the connection can still be used: after other failures its memory may hold anything.
    pub(crate) fn keeps_connection(self) -> bool {
        matches!(self, Self::Full | Self::Busy)
    }
}

impl Failure {
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::Damaged,
            message: message.into(),
            source: None,
        }
    }

    /// The log could not be opened again.
    pub(crate) fn of_opening(error: &OpenError) -> Self {
        let reason = match error.is_damaged() {
            true => Reason::Damaged,
            false => Reason::Io,
        };
        Self {
            reason,
            message: error.to_string(),
            source: None,
        }
    }

    pub(crate) fn shut_down() -> Self {
        Self {
            reason: Reason::Other,
            message: "the log is shut down".into(),
            source: None,
        }
    }

    pub(crate) fn moved() -> Self {
        Self {
            reason: Reason::Moved,
            message: "the log's file or its -wal file was moved, deleted or replaced while in use; put it back, or restart to go on \
                      with what is there now"
                .into(),
            source: None,
        }
    }

    /// What was found; for a failure of SQLite, its message.
    pub(crate) fn to_text(&self) -> String {
        match &self.source {
            Some(source) => source.to_string(),
            None => self.message.clone(),
        }
    }

    /// The error that the node gets.
    pub(crate) fn to_broker_error(&self) -> BrokerError {
        let error = BrokerError::unavailable(&*self.message);
        match &self.source {
            Some(source) => error.with_source(source.clone()),
            None => error,
        }
    }

    /// The error code of SQLite, if the failure is SQLite's.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.source.as_ref()?.sqlite_error_code()
    }

    pub(crate) fn into_source(self) -> Option<Arc<rusqlite::Error>> {
        self.source
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let (reason, message) = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => (
                Reason::Full,
                "the disk is full; it works again once there is room",
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                Reason::Busy,
                "another program is writing to the log's file; it works again once that has ended",
            ),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
                Reason::Damaged,
                "the log's file is damaged; restore a copy, or move it away and restart to begin with an empty log",
            ),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => (
                Reason::Io,
                "the log's file cannot be read or written; it works again once the disk does",
            ),
            // A value of another type than the schema has.
            None if matches!(
                error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::QueryReturnedNoRows
            ) =>
            {
                (
                    Reason::Damaged,
                    "the log's file holds values that no log has; restore a copy, or move it away and restart",
                )
            }
            _ => (Reason::Other, "SQLite failed"),
        };
        Self {
            reason,
            message: message.into(),
            source: Some(Arc::new(error)),
        }
    }
}
