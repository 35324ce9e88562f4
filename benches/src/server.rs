//! A peer as a process of its own, and what the kernel accounts to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::peers::{Family, Peer};

/// Clock ticks of `/proc/PID/stat` per second; Linux has shown 100 to programs for decades.
const TICKS_PER_SECOND: u64 = 100;

/// A server listens after this, or never.
const LONGEST_START: Duration = Duration::from_secs(10);

/// With fewer ticks, shares mean nothing.
const MIN_TICKS: u64 = 20;

/// Whether servers and load have a core of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pins {
    /// The servers on core 0, the load on core 1.
    Apart,
    /// The load on core 1, the servers on any core, since what they start needs room too.
    Shared,
    /// There is one core only, or no `taskset`.
    None,
}

impl Pins {
    /// Moves this thread, which makes the load, to core 1.
    pub(crate) fn take() -> Self {
        let me = std::process::id().to_string();
        let moved = Command::new("taskset")
            .args(["-cp", "1", &me])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if moved.is_ok_and(|status| status.success()) {
            Self::Apart
        } else {
            Self::None
        }
    }
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// CPU that a process has used.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cpu {
    /// All of it, to the nanosecond.
    pub(crate) total: Duration,
    /// The kernel's part in 0..1; its accounts are in ticks of 10 ms, so it is unknown if they are
    /// few.
    pub(crate) kernel_share: Option<f64>,
}

/// A process's CPU so far, from `/proc`.
#[derive(Debug, Clone, Copy)]
struct Accounts {
    nanos: u64,
    user_ticks: u64,
    kernel_ticks: u64,
}

/// A moment in the life of a server, from which CPU is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start(Accounts);

impl Server {
    /// Starts a peer and waits until it prints its address.
    ///
    /// # Errors
    ///
    /// The process does not start or ends before it listens; its own messages go to standard error.
    pub(crate) fn start(family: &Family, peer: &Peer, pins: Pins) -> Result<Self> {
        let me = std::env::current_exe()?;
        let mut command = match pins {
            Pins::Apart => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(me);
                command
            }
            Pins::Shared => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0,1"]).arg(me);
                command
            }
            Pins::None => Command::new(me),
        };
        let mut child = command
            .args(["serve", family.name, peer.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let Ok(address) = line.trim().parse() else {
            child.kill()?;
            child.wait()?;
            return Err(format!("{} did not start: it printed {line:?}", peer.name).into());
        };
        let server = Self { child, address };
        server.wait_until_it_listens(peer)?;
        Ok(server)
    }

    /// A program that is not ours gets its address before it listens there.
    fn wait_until_it_listens(&self, peer: &Peer) -> Result<()> {
        let end = Instant::now() + LONGEST_START;
        while let Err(error) = TcpStream::connect(self.address) {
            if Instant::now() > end {
                return Err(format!("{} does not listen: {error}", peer.name).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The moment from which [`cpu_since`](Self::cpu_since) counts.
    pub(crate) fn mark(&self) -> Result<Start> {
        self.accounts().map(Start)
    }

    /// User and system time that the process has used since the mark, over all its threads.
    pub(crate) fn cpu_since(&self, start: Start) -> Result<Cpu> {
        let (now, Start(then)) = (self.accounts()?, start);
        let user = now.user_ticks - then.user_ticks;
        let kernel = now.kernel_ticks - then.kernel_ticks;
        Ok(Cpu {
            total: Duration::from_nanos(now.nanos.saturating_sub(then.nanos)),
            kernel_share: (user + kernel >= MIN_TICKS)
                .then(|| kernel as f64 / (user + kernel) as f64),
        })
    }

    fn accounts(&self) -> Result<Accounts> {
        let pid = self.child.id();
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the read.
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanos += text
                .split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything; `utime` is the 12th field after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        match (ticks.next(), ticks.next()) {
            (Some(Ok(user_ticks)), Some(Ok(kernel_ticks))) => {
                // A kernel without schedstats shows zeros; the ticks are what is left then.
                if nanos == 0 {
                    nanos = (user_ticks + kernel_ticks) * (1_000_000_000 / TICKS_PER_SECOND);
                }
                Ok(Accounts {
                    nanos,
                    user_ticks,
                    kernel_ticks,
                })
            }
            _ => Err(format!("/proc/{pid}/stat cannot be read").into()),
        }
    }

    /// How many files the process has open, sockets among them.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// The process's share of resident memory in bytes (PSS): pages that it has for itself, and
    /// its part of those that it shares.
    pub(crate) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path)?;
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("Pss:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        Ok(kib.ok_or(format!("{path} has no PSS"))? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end and only the status to collect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
