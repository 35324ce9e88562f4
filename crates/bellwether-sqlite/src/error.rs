//! [`OpenError`]: why a file could not be opened as a log.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a file could not be opened as a log.
///
/// Opaque: each question below names a case and what the caller can do. The message has the path, what was found and
/// what to do.
///
/// ```
/// use bellwether_sqlite::SqliteBroker;
///
/// let error = SqliteBroker::open("/no such folder/events.db").unwrap_err();
/// assert!(error.is_unusable());
/// assert!(error.to_string().contains("make the folder first"));
/// ```
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    kind: Kind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    InUse { process: String },
    NotOurs { found: String },
    Newer { found: i64, known: i64 },
    Damaged { found: String },
    Unusable { found: String },
}

impl OpenError {
    pub(crate) fn new(path: &Path, kind: Kind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            source: None,
        }
    }

    pub(crate) fn unusable(path: &Path, found: impl Into<String>) -> Self {
        let found = found.into();
        Self::new(path, Kind::Unusable { found })
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Another process, or another broker of this process, has the log open. Shut that broker down, or choose another
    /// file.
    pub fn is_in_use(&self) -> bool {
        matches!(self.kind, Kind::InUse { .. })
    }

    /// The file belongs to another program. It was not touched. Choose another path.
    pub fn is_not_ours(&self) -> bool {
        matches!(self.kind, Kind::NotOurs { .. })
    }

    /// A later version of this crate wrote the file. It was not touched. Run that version.
    pub fn is_newer(&self) -> bool {
        matches!(self.kind, Kind::Newer { .. })
    }

    /// The file is a log with parts that cannot be read. Run `bellwether repair` on it, restore a copy, or move it away
    /// to start with an empty log.
    pub fn is_damaged(&self) -> bool {
        matches!(self.kind, Kind::Damaged { .. })
    }

    /// The environment is at fault: the path, its permissions or the disk. The message names which.
    pub fn is_unusable(&self) -> bool {
        matches!(self.kind, Kind::Unusable { .. })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open {} as a log: ", self.path.display())?;
        match &self.kind {
            Kind::InUse { process } => write!(
                f,
                "{process} has it open, and a log has one writer; stop that one or choose another file"
            ),
            Kind::NotOurs { found } => write!(
                f,
                "it is {found}, and was left untouched; choose another path"
            ),
            Kind::Newer { found, known } => write!(
                f,
                "its schema has version {found}, this program knows up to {known}; run the version that wrote it"
            ),
            Kind::Damaged { found } => write!(
                f,
                "it is damaged ({found}); run `bellwether repair` on it, restore a copy, or move it away to begin with an empty log"
            ),
            Kind::Unusable { found } => f.write_str(found),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}

// So that `?` takes it in a `main` that returns a `bellwether::Result`.
impl bellwether_topics::SetupError for OpenError {}
