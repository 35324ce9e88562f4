//! Where bytes come from: a file, or standard input where none is named.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::exit::{Failure, REFUSED};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A file or standard input, read in pieces as they arrive.
pub(crate) struct Input {
    source: Box<dyn Read>,
    name: String,
    chunk: Vec<u8>,
}

impl Input {
    /// Opens the file; `None` and `-` are standard input.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub(crate) fn open(path: Option<&PathBuf>) -> Result<Self, Failure> {
        let chunk = vec![0; CHUNK_BYTES];
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self {
                source: Box::new(io::stdin().lock()),
                name: "standard input".to_owned(),
                chunk,
            });
        };
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::new(REFUSED, format_args!("cannot open {name}: {error}")))?;
        Ok(Self {
            source: Box::new(file),
            name,
            chunk,
        })
    }

    /// Waits for the next bytes; empty at the end.
    ///
    /// # Errors
    ///
    /// The source cannot be read.
    pub(crate) fn read(&mut self) -> Result<&[u8], Failure> {
        loop {
            match self.source.read(&mut self.chunk) {
                Ok(length) => return Ok(self.chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let message = format_args!("cannot read {}: {error}", self.name);
                    return Err(Failure::new(REFUSED, message));
                }
            }
        }
    }
}
