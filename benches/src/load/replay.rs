//! One reader that takes a topic's history as fast as it comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::numbered::Numbered;
use super::readers::browser_request;
use crate::Result;

/// One read takes at most this much.
const READ_BYTES: usize = 256 * 1024;

/// The interval at which the server may be measured meanwhile.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The figures of a replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replayed {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// Reads `/replay` to the last of `events` events, and calls `check` ten times a second.
///
/// # Errors
///
/// An event is missing, comes twice, is not ours or does not come.
pub(crate) fn replay(
    server: SocketAddr,
    events: u64,
    size: usize,
    time: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Replayed> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(time))?;
    let started = Instant::now();
    stream.write_all(browser_request("/replay", server).as_bytes())?;
    let mut numbered = Numbered::new(0, size);
    let mut buffer = vec![0; READ_BYTES];
    let (mut bytes, mut seen, mut checked) = (0, 0, started);
    while seen < events {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(format!("the stream was closed after {seen} events").into());
        }
        bytes += count as u64;
        numbered.take(&buffer[..count], |_| seen += 1)?;
        let faults = numbered.faults();
        if faults.any() {
            return Err(faults.to_string().into());
        }
        if started.elapsed() > time {
            return Err(format!("only {seen} of {events} events came in time").into());
        }
        if checked.elapsed() > CHECK_INTERVAL {
            check()?;
            checked = Instant::now();
        }
    }
    Ok(Replayed {
        bytes,
        time: started.elapsed(),
    })
}
