//! The server's own rules, over real sockets: who gets in, what is too much, who is late.
//!
//! Deadlines to the second are tested beside the code, on paused time.

mod abuse;
#[cfg(target_os = "linux")]
mod files;
mod full;
#[cfg(unix)]
mod handed_over;
mod http1;
mod http2;
mod panics;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod unread_bodies;

use std::time::Duration;

use bellwether::{Application, ServerSentEvent, Stream, get, stream};
use bellwether_testkit::RawClient;
use tokio::time::sleep;

/// Numbers from zero on, so that a lost or doubled event shows.
fn count() -> impl Stream<Item = ServerSentEvent> {
    stream!(for number in 0_u64.. {
        yield ServerSentEvent::text(number.to_string());
        sleep(Duration::from_millis(5)).await;
    })
}

/// An application with a plain answer on `/` and numbers on `/count`.
fn application() -> Application {
    Application::new()
        .route(("/", get(|| "hello")))
        .route(("/count", get(count)))
}

/// Reads the next `events` numbers, which go on from `next`.
async fn expect_numbers<S>(client: &mut RawClient<S>, next: &mut u64, events: u64)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for _ in 0..events {
        let event = client.next_event().await.unwrap();
        assert_eq!(event.data, next.to_string());
        *next += 1;
    }
}
