//! Opens files below one directory and nowhere else, whatever symlinks say.
//!
//! A path is judged by where it really leads: resolved through every symlink, it must lie below
//! the root, have no part that starts with a dot, and be a regular file or a directory (opening a
//! named pipe would block a thread without end). Symlinks that stay inside are followed. Hard links
//! cannot be told from the file itself.
//!
//! Every file system call runs on tokio's blocking threads.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// The file system as far as it lies below `root`.
#[derive(Clone, Debug)]
pub(super) struct Confined {
    root: Arc<Path>,
}

impl Confined {
    /// `root` must be canonical: resolved paths are compared with it.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root: root.into() }
    }

    /// Where `path` really leads, if that may be served.
    fn resolved(&self, path: &Path) -> io::Result<(PathBuf, Metadata)> {
        // Whatever the reason is (a loop of symlinks, a name too long), there is no such file.
        let real = path.canonicalize().map_err(|_| not_found())?;
        if !self.is_inside(&real) {
            return Err(not_found());
        }
        let metadata = fs::metadata(&real).map_err(|_| not_found())?;
        if metadata.is_file() || metadata.is_dir() {
            Ok((real, metadata))
        } else {
            Err(not_found())
        }
    }

    fn is_inside(&self, real: &Path) -> bool {
        real.strip_prefix(&self.root).is_ok_and(|inside| {
            inside
                .components()
                .all(|part| !part.as_os_str().as_encoded_bytes().starts_with(b"."))
        })
    }

    fn opened(&self, path: &Path) -> io::Result<fs::File> {
        let (real, metadata) = self.resolved(path)?;
        if !metadata.is_file() {
            return Err(not_found());
        }
        let file = fs::File::open(real)?;
        // A process that can write below the root could put a symlink in place between the check and
        // the open; so the file that was opened is asked where it is.
        match place_of(&file) {
            Some(place) if !self.is_inside(&place) => Err(not_found()),
            _ => Ok(file),
        }
    }
}

/// Where an open file is, if the system can tell.
#[cfg(target_os = "linux")]
fn place_of(file: &fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// Where an open file is, if the system can tell.
#[cfg(not(target_os = "linux"))]
fn place_of(_: &fs::File) -> Option<PathBuf> {
    None
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Backend for Confined {
    type File = ConfinedFile;
    type Metadata = Metadata;
    type OpenFuture = BoxFuture<'static, ConfinedFile>;
    type MetadataFuture = BoxFuture<'static, Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let confined = self.clone();
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || confined.opened(&path)).await;
            let file = opened.map_err(io::Error::other)??;
            Ok(ConfinedFile(tokio::fs::File::from_std(file)))
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let confined = self.clone();
        Box::pin(async move {
            let resolved = tokio::task::spawn_blocking(move || confined.resolved(&path)).await;
            Ok(resolved.map_err(io::Error::other)??.1)
        })
    }
}

/// A file that [`Confined`] has opened.
#[derive(Debug)]
pub(super) struct ConfinedFile(tokio::fs::File);

impl File for ConfinedFile {
    type Metadata = Metadata;
    type MetadataFuture<'a> = BoxFuture<'a, Metadata>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for ConfinedFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncSeek for ConfinedFile {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}
