//! Deadlines for tests, on the machine's clock.
//!
//! A test that pauses tokio's clock lets it jump whenever the runtime is idle, for instance while bytes
//! are on their way through a real socket. A deadline on that clock would fire at once, so one
//! thread keeps all deadlines of the process and wakes their waiters.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// The time after which every wait in this crate panics: 20 seconds.
///
/// The value is generous on purpose. It only bounds how long a broken test hangs; no test waits for it to pass.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Awaits `future` for at most `deadline` of real time; `None` when the deadline came first.
///
/// Dropping the returned future drops `future`. A paused tokio clock does not shorten the wait.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use bellwether_testkit::within;
///
/// assert_eq!(within(Duration::from_secs(5), async { 7 }).await, Some(7));
/// assert_eq!(within(Duration::from_millis(5), std::future::pending::<u8>()).await, None);
/// # });
/// ```
pub async fn within<F: Future>(deadline: Duration, future: F) -> Option<F::Output> {
    let expired = timer(deadline);
    tokio::select! {
        biased;
        output = future => Some(output),
        _ = expired => None,
    }
}

/// Waits until `condition` is true, asking every 5 ms, and panics after `deadline` of real time.
///
/// The only poll that tests may use, and only for what gives no signal to await: a counter of
/// another process, a socket table, a file that another program writes.
///
/// # Panics
///
/// When the condition is still false at the deadline; `what` is named in the message.
pub async fn eventually(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            // Not a tokio timer: this one also works on a runtime without a clock.
            let _ = timer(Duration::from_millis(5)).await;
        }
    };
    assert!(
        within(deadline, poll).await.is_some(),
        "{what} did not become true within {deadline:?}"
    );
}

/// A receiver that completes once `after` has passed.
fn timer(after: Duration) -> oneshot::Receiver<()> {
    static CLOCK: OnceLock<Sender<(Instant, oneshot::Sender<()>)>> = OnceLock::new();
    let (sender, receiver) = oneshot::channel();
    let clock = CLOCK.get_or_init(|| {
        let (timers, incoming) = channel();
        std::thread::Builder::new()
            .name("test-deadlines".to_owned())
            .spawn(move || keep_time(&incoming))
            .expect("a test process can start one thread");
        timers
    });
    clock
        .send((Instant::now() + after, sender))
        .expect("the clock thread lives as long as the process");
    receiver
}

/// The clock thread: completes each timer when its time has come, and forgets those whose receivers are dropped.
fn keep_time(incoming: &std::sync::mpsc::Receiver<(Instant, oneshot::Sender<()>)>) {
    let mut timers: BTreeMap<Instant, Vec<oneshot::Sender<()>>> = BTreeMap::new();
    loop {
        let now = Instant::now();
        while let Some(entry) = timers.first_entry()
            && *entry.key() <= now
        {
            for timer in entry.remove() {
                // The receiver is dropped if the awaited thing came first.
                let _ = timer.send(());
            }
        }
        let next = match timers.first_key_value() {
            Some((at, _)) => incoming.recv_timeout(at.saturating_duration_since(now)),
            None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok((at, timer)) => timers.entry(at).or_default().push(timer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_does_not_make_deadlines_fire_early() {
        let started = Instant::now();
        let deadline = Duration::from_millis(60);
        assert_eq!(within(deadline, std::future::pending::<()>()).await, None);
        assert!(started.elapsed() >= deadline);
    }

    #[tokio::test]
    async fn a_short_deadline_fires_before_a_long_one_set_earlier() {
        let long = timer(Duration::from_secs(60));
        let short = timer(Duration::from_millis(5));
        tokio::select! {
            _ = long => panic!("the long deadline fired first"),
            rung = short => rung.unwrap(),
        }
    }

    #[tokio::test]
    #[should_panic(expected = "the moon did not become true")]
    async fn eventually_names_what_never_came() {
        eventually("the moon", Duration::from_millis(20), || false).await;
    }

    #[tokio::test]
    async fn eventually_ends_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        let condition = || {
            asked += 1;
            asked == 3
        };
        eventually("the third time", TEST_TIMEOUT, condition).await;
        assert_eq!(asked, 3);
    }
}
