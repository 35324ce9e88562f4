//! `bellwether encode`: messages as lines of JSON to the bytes of an event stream.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::{Failure, REFUSED, print_error};
use crate::input::Input;
use crate::lines::{Line, Lines};
use crate::message;

/// Read messages as lines of JSON, write the bytes of an event stream.
///
/// A line is {"data":{"text":…},"event":…,"id":…,"retry":{"ms":…},"comment":…}, or {"data":{"json":…}} with any value.
/// A key that is absent is not set, empty text is set and empty. JSON goes out in one line, with every digit and the
/// order of its keys. Blank lines are skipped. A message that cannot be sent is refused on standard error with its line,
/// the others go through.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"data\":{\"json\":{\"price\":1.08}},\"event\":\"tick\",\"id\":\"7\"}' | bellwether encode
  bellwether encode messages.jsonl > recorded.txt
  bellwether encode messages.jsonl | bellwether decode

Exit codes: 0 every message was written, 1 one was refused or the input cannot be read.")]
pub(crate) struct EncodeArguments {
    /// The file to read [default: standard input, also `-`]
    file: Option<PathBuf>,

    /// The longest input line, in bytes; a longer one is refused
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024)]
    max_line_bytes: usize,
}

pub(crate) fn run(arguments: &EncodeArguments) -> Result<ExitCode, Failure> {
    let mut input = Input::open(arguments.file.as_ref())?;
    let mut lines = Lines::new(arguments.max_line_bytes);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut has_refused = false;
    let mut is_open = true;
    while is_open {
        let piece = input.read()?;
        is_open = !piece.is_empty();
        lines.push(piece);
        while let Some(line) = match lines.next() {
            None if !is_open => lines.finish(),
            line => line,
        } {
            let number = line.number;
            match encode(&line, arguments.max_line_bytes) {
                Ok(bytes) => out
                    .write_all(&bytes)
                    .map_err(|error| Failure::output(&error))?,
                Err(reason) => {
                    has_refused = true;
                    // Both outputs may go to one place: then they are in the order of the lines.
                    out.flush().map_err(|error| Failure::output(&error))?;
                    print_error(&format!("line {number}: {reason}"));
                }
            }
        }
        out.flush().map_err(|error| Failure::output(&error))?;
    }
    Ok(match has_refused {
        true => ExitCode::from(REFUSED),
        false => ExitCode::SUCCESS,
    })
}

/// The bytes of one line's message, none for a blank line.
fn encode(line: &Line<'_>, max_bytes: usize) -> Result<Vec<u8>, String> {
    let Some(bytes) = line.bytes else {
        return Err(format!("found a line of more than {max_bytes} bytes"));
    };
    let mut out = Vec::new();
    if !bytes.trim_ascii().is_empty() {
        let event = message::read(bytes)?;
        event
            .encode_into(&mut out)
            .map_err(|error| error.to_string())?;
    }
    Ok(out)
}
