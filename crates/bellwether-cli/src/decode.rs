//! `bellwether decode`: the bytes of an event stream to one line of JSON per event.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bellwether_wire::{Decoder, EventId, Limits};

use crate::exit::{Failure, REFUSED};
use crate::input::Input;
use crate::line::{EventLine, StateLine, json_line};

/// What a line has beside the value of its field, at most: `event: `.
const FIELD_BYTES: usize = 7;

/// Read the bytes of an event stream, write one line of JSON per event.
///
/// A line is {"event":…,"data":…,"id":…}: the name is "message" where the stream gives none, the id is the last one that
/// the stream has set, "" before any. Each line is written as soon as its event is complete. What is unfinished at the
/// end is discarded, as the standard has it (WHATWG HTML, section 9.2).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  curl -sN http://127.0.0.1:8000/events | bellwether decode
  bellwether decode --state recorded.txt
  printf 'id: 7\\ndata: a\\n\\n' | bellwether decode | jq -r .id

Exit codes: 0 the stream was read to its end, 1 it cannot be read or goes beyond the limit.")]
pub(crate) struct DecodeArguments {
    /// The file to read [default: standard input, also `-`]
    file: Option<PathBuf>,

    /// Add a last line: {"last_event_id":…,"reconnection_ms":…}, the latter null if never set
    #[arg(long)]
    state: bool,

    /// Begin with this last event id, as after an earlier connection
    #[arg(long, value_name = "ID", default_value = "")]
    last_event_id: EventId,

    /// The largest event, in bytes of its data, name and id
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT_BYTES)]
    max_event_bytes: usize,

    /// The longest line, in bytes [default: as --max-event-bytes, and room for the field's name]
    #[arg(long, value_name = "BYTES")]
    max_line_bytes: Option<usize>,
}

pub(crate) fn run(arguments: &DecodeArguments) -> Result<ExitCode, Failure> {
    let line_bytes = arguments
        .max_line_bytes
        .unwrap_or(arguments.max_event_bytes.saturating_add(FIELD_BYTES));
    let limits = Limits::default()
        .max_event_bytes(arguments.max_event_bytes)
        .max_line_bytes(line_bytes);
    let mut decoder = Decoder::with_limits(limits).resume_after(arguments.last_event_id.clone());
    let mut input = Input::open(arguments.file.as_ref())?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    loop {
        let mut piece = input.read()?;
        if piece.is_empty() {
            break;
        }
        // Flushed before the next read may wait, so no event is held back, and many at once cost one write.
        let result = decode(&mut decoder, &mut piece, &mut out);
        out.flush().map_err(|error| Failure::output(&error))?;
        result?;
    }
    if arguments.state {
        let state = StateLine {
            last_event_id: decoder.last_event_id(),
            reconnection_ms: decoder
                .reconnection_time()
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        let written = out.write_all(&json_line(&state)).and_then(|()| out.flush());
        written.map_err(|error| Failure::output(&error))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a line for each event that the piece completes.
fn decode(decoder: &mut Decoder, piece: &mut &[u8], out: &mut impl Write) -> Result<(), Failure> {
    loop {
        match decoder.decode(piece) {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => {
                let line = EventLine {
                    event: message.event.as_str(),
                    data: &message.data,
                    id: message.last_event_id.as_str(),
                    time: None,
                };
                out.write_all(&json_line(&line))
                    .map_err(|error| Failure::output(&error))?;
            }
            Err(error) => return Err(Failure::new(REFUSED, error)),
        }
    }
}
