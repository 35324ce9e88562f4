//! Checks what a subscriber receives: every event's number and size, whatever else is in its block.
//!
//! Pure. Servers write ids, retries and comments of their own around the data, so a block is taken
//! apart by lines; only its `data` counts.

use memchr::memmem;

use super::Faults;
use super::framing::Framing;

const BEFORE: &str = "{\"i\":";
const BETWEEN: &str = ",\"x\":\"";
const AFTER: &str = "\"}";

/// The start of a subscription's first event, which gives the reader its position.
const OF_SERVER: &[u8] = b"event: bellwether.open";

/// No block of a peer is longer than this.
const MAX_BLOCK_BYTES: usize = 64 * 1024;

/// Data of exactly `size` bytes that carries a number; a few bytes more if the size is too small.
pub(crate) fn payload(number: u64, size: usize) -> String {
    let digits = number.to_string();
    let fixed = BEFORE.len() + digits.len() + BETWEEN.len() + AFTER.len();
    let padding = "x".repeat(size.saturating_sub(fixed));
    format!("{BEFORE}{digits}{BETWEEN}{padding}{AFTER}")
}

/// The state of one subscriber's stream.
#[derive(Debug)]
pub(crate) struct Numbered {
    framing: Framing,
    /// A block that came in pieces.
    partial: Vec<u8>,
    order: Order,
    size: usize,
    faults: Faults,
}

/// Which numbers have come.
#[derive(Debug)]
struct Order {
    /// The first that has not.
    next: u64,
    /// Those after it that have, the nearest in the lowest bit; none where each must be the next.
    early: Option<u64>,
}

/// How a number arrives in a stream.
#[derive(Debug, PartialEq, Eq)]
enum Arrival {
    New,
    /// New, after this many that did not come.
    After(u64),
    Again,
}

impl Numbered {
    /// A stream whose first event has the number `next`; the data of each has `size` bytes.
    pub(crate) fn new(next: u64, size: usize) -> Self {
        Self {
            framing: Framing::new(),
            partial: Vec::new(),
            order: Order { next, early: None },
            size,
            faults: Faults::default(),
        }
    }

    /// The same for what is no longer framed by HTTP/1.1: the body alone.
    pub(crate) fn of_body(next: u64, size: usize) -> Self {
        Self {
            framing: Framing::of_body(),
            ..Self::new(next, size)
        }
    }

    /// Lets events come in another order than that of their numbers, as those of several
    /// publishers do. One that stays away is then no gap, but an event that the run waits for.
    pub(crate) fn in_any_order(mut self) -> Self {
        self.order.early = Some(0);
        self
    }

    pub(crate) fn has_head(&self) -> bool {
        self.framing.has_head()
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults
    }

    /// Takes bytes as they arrive, and calls back with the number of each complete event.
    ///
    /// # Errors
    ///
    /// The response is no event stream, or a block has no end.
    pub(crate) fn take(&mut self, bytes: &[u8], mut seen: impl FnMut(u64)) -> Result<(), String> {
        let Self {
            framing,
            partial,
            order,
            size,
            faults,
        } = self;
        framing.take(bytes, |bytes| {
            let mut judge = |block: &[u8]| match number(block, *size) {
                Ok(None) => {}
                Ok(Some(number)) => match order.arrival_of(number) {
                    Arrival::New => seen(number),
                    Arrival::After(missing) => {
                        faults.gaps += missing;
                        seen(number);
                    }
                    Arrival::Again => faults.duplicates += 1,
                },
                Err(NotOurs) => faults.foreign += 1,
            };
            if partial.is_empty() {
                let rest = each_block(bytes, &mut judge);
                partial.extend_from_slice(rest);
            } else {
                partial.extend_from_slice(bytes);
                let left = each_block(partial, &mut judge).len();
                partial.drain(..partial.len() - left);
            }
            if partial.len() > MAX_BLOCK_BYTES {
                return Err("an event without an end".to_owned());
            }
            Ok(())
        })
    }
}

impl Order {
    fn arrival_of(&mut self, number: u64) -> Arrival {
        let Some(ahead) = number.checked_sub(self.next) else {
            return Arrival::Again;
        };
        match &mut self.early {
            Some(early) if ahead == 0 => {
                let run = early.trailing_ones();
                self.next += 1 + u64::from(run);
                // A shift by all 64 bits is none.
                *early = early.checked_shr(run + 1).unwrap_or(0);
                Arrival::New
            }
            Some(early) if ahead <= u64::from(u64::BITS) => {
                let bit = 1 << (ahead - 1);
                let is_new = *early & bit == 0;
                *early |= bit;
                if is_new { Arrival::New } else { Arrival::Again }
            }
            early => {
                // Far ahead of all others, so that the numbers left out have not come in any order.
                if let Some(early) = early {
                    *early = 0;
                }
                self.next = number + 1;
                if ahead == 0 {
                    Arrival::New
                } else {
                    Arrival::After(ahead)
                }
            }
        }
    }
}

/// Calls `judge` with each whole block; what is left.
fn each_block(mut bytes: &[u8], mut judge: impl FnMut(&[u8])) -> &[u8] {
    while let Some(end) = memmem::find(bytes, b"\n\n") {
        judge(&bytes[..end]);
        bytes = &bytes[end + 2..];
    }
    bytes
}

/// A block with data that was not published.
struct NotOurs;

/// The number in a block's data; none if it has no data, or is an event of the server's own.
fn number(block: &[u8], size: usize) -> Result<Option<u64>, NotOurs> {
    let mut found = None;
    for line in block.split(|byte| *byte == b'\n') {
        if line.starts_with(OF_SERVER) {
            return Ok(None);
        }
        let Some(data) = line.strip_prefix(b"data:") else {
            continue;
        };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        let digits = data.strip_prefix(BEFORE.as_bytes()).ok_or(NotOurs)?;
        let end = memchr::memchr(b',', digits).ok_or(NotOurs)?;
        let number = std::str::from_utf8(&digits[..end])
            .ok()
            .and_then(|digits| digits.parse().ok());
        if data.len() != size || found.is_some() || !data.ends_with(AFTER.as_bytes()) {
            return Err(NotOurs);
        }
        found = Some(number.ok_or(NotOurs)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SIZE: usize = 100;

    fn chunked(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n",
            body.len()
        )
    }

    fn raw(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n{body}")
    }

    fn check(text: &str, pieces: usize) -> (Vec<u64>, Faults) {
        let mut stream = Numbered::new(0, SIZE);
        let mut seen = Vec::new();
        for piece in text.as_bytes().chunks(pieces) {
            stream.take(piece, |number| seen.push(number)).unwrap();
        }
        (seen, stream.faults())
    }

    #[test]
    fn what_a_server_says_of_itself_counts_as_no_event() {
        let opening =
            "retry: 2000\nevent: bellwether.open\ndata: {\"keep_alive_ms\":15000}\nid: 1.2\n\n";
        let body = format!("{opening}data: {}\nid: 1.3\n\n", payload(0, SIZE));
        let (seen, faults) = check(&chunked(&body), 7);
        assert_eq!((seen, faults), (vec![0], Faults::default()));
    }

    #[test]
    fn events_count_however_they_are_framed_and_cut() {
        let body = format!(
            "retry: 2000\n\n: hi\n\n:\nid: 7\ndata: {}\n\nevent: x\ndata:{}\n\n",
            payload(0, SIZE),
            payload(1, SIZE)
        );
        for text in [chunked(&body), raw(&body)] {
            for pieces in [1, 7, 64, usize::MAX >> 1] {
                assert_eq!(check(&text, pieces), (vec![0, 1], Faults::default()));
            }
        }
    }

    #[test]
    fn gaps_duplicates_and_strangers_are_faults() {
        let event = |number, size| format!("data: {}\n\n", payload(number, size));
        let body = [
            event(0, SIZE),
            event(3, SIZE),
            event(2, SIZE),
            event(4, SIZE + 1),
            "data: 4\n\n".to_owned(),
        ]
        .concat();
        let faults = Faults {
            gaps: 2,
            duplicates: 1,
            foreign: 2,
        };
        assert_eq!(check(&chunked(&body), 50), (vec![0, 3], faults));
    }

    #[test]
    fn events_of_several_publishers_count_in_any_order_and_once() {
        let mut order = Order {
            next: 0,
            early: Some(0),
        };
        for number in [2, 0, 3, 1, 68, 5, 4] {
            assert_eq!(order.arrival_of(number), Arrival::New, "{number}");
            assert_eq!(order.arrival_of(number), Arrival::Again, "{number}");
        }
        assert_eq!(order.next, 6);
        for number in 6..68 {
            assert_eq!(order.arrival_of(number), Arrival::New, "{number}");
        }
        assert_eq!(order.next, 69);
        assert_eq!(order.arrival_of(200), Arrival::After(131));
    }

    #[test]
    fn a_body_alone_counts_without_a_head() {
        let mut stream = Numbered::of_body(0, SIZE);
        let mut seen = Vec::new();
        let body = format!("data: {}\n\n", payload(0, SIZE));
        stream
            .take(body.as_bytes(), |number| seen.push(number))
            .unwrap();
        assert_eq!((seen, stream.faults()), (vec![0], Faults::default()));
    }

    #[test]
    fn data_has_the_size_that_was_asked_for() {
        for number in [0, 9, 10, 123_456] {
            assert_eq!(payload(number, SIZE).len(), SIZE);
        }
    }
}
