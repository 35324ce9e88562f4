//! The readers of one topic, and the publishers that send them numbered events.
//!
//! All of it runs on one thread, which publishes, receives and holds the only clock: the time from
//! publish to receive is the difference of two of its own moments.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Socket};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::latencies::Latencies;
use super::numbered::Numbered;
use super::publisher::Publisher;
use super::readers::browser_request;
use super::stream::{Stream, Trust};
use crate::Result;

/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;

/// Connects that may be on their way at once; a listener's queue holds more.
const AT_ONCE: usize = 50;

/// Events under way when the time is over may still arrive for this long.
const GRACE: Duration = Duration::from_secs(10);

/// The token of the first publisher; the next ones follow. No reader has a token so high.
const PUBLISHERS: usize = usize::MAX / 2;

/// When the next event is published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as fewer events than this are in flight. An event is in flight until the last
    /// reader has it.
    Window(usize),
    /// The same, by a publisher whose last request was answered: none has two on their way.
    Answered(usize),
    /// At fixed moments, whatever is in flight.
    Every(Duration),
}

/// The fate of published events.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// Over all readers.
    pub(crate) deliveries: u64,
    pub(crate) latencies: Latencies,
}

/// Readers of one topic.
#[derive(Debug)]
pub(crate) struct Crowd {
    server: SocketAddr,
    trust: Option<Trust>,
    poll: Poll,
    ready: Events,
    publishers: Vec<Publisher>,
    readers: Vec<Reader>,
    /// Connected, and never read from.
    stuck: Vec<Socket>,
    buffer: Vec<u8>,
    /// The number of the next event, and the size of its data.
    next: u64,
    size: usize,
}

#[derive(Debug)]
struct Reader {
    stream: Stream,
    numbered: Numbered,
}

/// Events that a reader still waits for.
#[derive(Debug)]
struct Flight {
    /// The number of the oldest one.
    oldest: u64,
    /// When each was published, and how many have it.
    events: VecDeque<(Instant, usize)>,
    /// Events that have not reached every reader; a later one may have overtaken them.
    open: usize,
    readers: usize,
    delivered: Delivered,
}

impl Crowd {
    /// No readers yet, and one publisher; events will have data of `size` bytes.
    pub(crate) fn new(server: SocketAddr, size: usize) -> Result<Self> {
        Self::with(server, size, 1, None)
    }

    /// This many publishers, each with a connection of its own; all speak TLS if there is a
    /// certificate to trust.
    pub(crate) fn with(
        server: SocketAddr,
        size: usize,
        publishers: usize,
        trust: Option<Trust>,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let publishers = (PUBLISHERS..PUBLISHERS + publishers)
            .map(|token| Publisher::connect(server, trust.as_ref(), poll.registry(), Token(token)));
        Ok(Self {
            server,
            publishers: publishers.collect::<Result<_>>()?,
            trust,
            poll,
            ready: Events::with_capacity(1024),
            readers: Vec::new(),
            stuck: Vec::new(),
            buffer: vec![0; READ_BYTES],
            next: 0,
            size,
        })
    }

    /// Lets more readers subscribe, a bounded number at once, and waits for the head of each response.
    pub(crate) fn subscribe(&mut self, readers: usize, time: Duration) -> Result<()> {
        let request = browser_request("/events", self.server);
        let end = Instant::now() + time;
        let readers = self.readers.len() + readers;
        while self.readers.len() < readers {
            let first = self.readers.len();
            for index in first..readers.min(first + AT_ONCE) {
                let request = request.as_bytes();
                let mut stream = Stream::connect(self.server, self.trust.as_ref(), request)?;
                self.poll
                    .registry()
                    .register(stream.socket(), Token(index), Interest::READABLE)?;
                let mut numbered = Numbered::new(self.next, self.size);
                if self.publishers.len() > 1 {
                    numbered = numbered.in_any_order();
                }
                self.readers.push(Reader { stream, numbered });
            }
            let mut flight = Flight::new(self.next, 0);
            while !self.readers[first..].iter().all(|r| r.numbered.has_head()) {
                if Instant::now() > end {
                    return Err("no response head in time".into());
                }
                self.turn(GRACE, &mut flight)?;
            }
        }
        Ok(())
    }

    /// Lets more readers subscribe that read the head of their answer and then never again.
    pub(crate) fn subscribe_stuck(&mut self, readers: usize) -> Result<()> {
        let request = browser_request("/events", self.server);
        for _ in 0..readers {
            let mut stream = Socket::connect(self.server)?;
            stream.write_all(request.as_bytes())?;
            stream.set_read_timeout(Some(GRACE))?;
            let mut head = Numbered::new(self.next, self.size);
            while !head.has_head() {
                let count = stream.read(&mut self.buffer)?;
                if count == 0 {
                    return Err("a stream was closed before its head".into());
                }
                head.take(&self.buffer[..count], |_| {})?;
            }
            self.stuck.push(stream);
        }
        Ok(())
    }

    /// Publishes this many events, or as many as the time allows, and waits until all have them.
    ///
    /// # Errors
    ///
    /// An event is missing, comes twice, is not ours or does not come, or a stream ends.
    pub(crate) fn publish(&mut self, pace: Pace, events: u64, time: Duration) -> Result<Delivered> {
        let end = Instant::now() + time;
        let last = self.next + events;
        let mut flight = Flight::new(self.next, self.readers.len());
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            let is_over = self.next == last || now >= end;
            while !is_over && self.next < last {
                let mut publishers = self.publishers.iter_mut();
                let publisher = match pace {
                    Pace::Window(events) | Pace::Answered(events) if flight.open >= events => None,
                    Pace::Every(_) if now < due => None,
                    Pace::Window(_) => publishers.next(),
                    Pace::Answered(_) => publishers.find(|publisher| publisher.is_answered()),
                    Pace::Every(interval) => {
                        due += interval;
                        publishers.next()
                    }
                };
                let Some(publisher) = publisher else {
                    break;
                };
                publisher.publish(self.next, self.size);
                flight.depart(Instant::now());
                self.next += 1;
            }
            for publisher in &mut self.publishers {
                publisher.flush()?;
            }
            let is_answered = self.publishers.iter().all(Publisher::is_answered);
            if is_over && flight.open == 0 && is_answered {
                return Ok(flight.delivered);
            }
            if now > end + GRACE {
                let missing = flight.open;
                return Err(format!("{missing} events did not reach all readers in time").into());
            }
            let wait = match pace {
                Pace::Every(_) if !is_over => due.saturating_duration_since(now),
                _ => GRACE,
            };
            self.turn(wait, &mut flight)?;
        }
    }

    /// Waits for something, and takes all that has come.
    fn turn(&mut self, wait: Duration, flight: &mut Flight) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.ready, Some(wait))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.ready {
            match event.token() {
                Token(index) if index >= PUBLISHERS => {
                    let publisher = &mut self.publishers[index - PUBLISHERS];
                    publisher.flush()?;
                    publisher.read()?;
                }
                Token(index) => self.readers[index].read(&mut self.buffer, flight)?,
            }
        }
        Ok(())
    }
}

impl Reader {
    /// Takes all that the socket has.
    fn read(&mut self, buffer: &mut [u8], flight: &mut Flight) -> Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err("a stream was closed".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            self.numbered
                .take(&buffer[..count], |number| flight.note(number, now))?;
            let faults = self.numbered.faults();
            if faults.any() {
                return Err(faults.to_string().into());
            }
            // A socket that gave less than it could is empty, and epoll reports its next bytes again.
            if count < buffer.len() && self.stream.is_plain() {
                return Ok(());
            }
        }
    }
}

impl Flight {
    fn new(oldest: u64, readers: usize) -> Self {
        Self {
            oldest,
            events: VecDeque::new(),
            open: 0,
            readers,
            delivered: Delivered {
                deliveries: 0,
                latencies: Latencies::new(),
            },
        }
    }

    /// The next event is published.
    fn depart(&mut self, now: Instant) {
        self.events.push_back((now, 0));
        self.open += 1;
    }

    /// One more reader has this event.
    fn note(&mut self, number: u64, now: Instant) {
        let Some((published, readers)) = number
            .checked_sub(self.oldest)
            .and_then(|place| self.events.get_mut(place as usize))
        else {
            return;
        };
        *readers += 1;
        self.open -= usize::from(*readers == self.readers);
        self.delivered.deliveries += 1;
        self.delivered.latencies.add(now - *published);
        while let Some((_, readers)) = self.events.front()
            && *readers >= self.readers
        {
            self.events.pop_front();
            self.oldest += 1;
        }
    }
}
