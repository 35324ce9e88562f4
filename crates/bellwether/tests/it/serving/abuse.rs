//! Many slow connections at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether::Timeouts;
use bellwether_testkit::RawClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::application;
use crate::support::serve;

/// Sends a byte now and then until the server closes; tells how long that took.
async fn drip(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await;
    let mut byte = [0];
    loop {
        tokio::select! {
            _ = stream.read(&mut byte) => return began.elapsed(),
            () = sleep(Duration::from_millis(300)) => {
                let _ = stream.write_all(b"x").await;
            }
        }
    }
}

/// Asks again and again on one connection; gives the time of each answer.
async fn ask_often(address: SocketAddr) -> Vec<Duration> {
    let mut client = RawClient::connect(address).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        client.get("/", &[("accept", "*/*")]).await;
        assert_eq!(client.read_head().await.status, 200);
        client.read_to_end().await;
        times.push(began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_dripping_connections_are_closed_and_a_hundred_good_ones_are_served() {
    let head = Duration::from_millis(1500);
    let (_running, address) = serve(application().timeouts(Timeouts::default().head(head))).await;
    let mut drips: JoinSet<Duration> = (0..2000).map(|_| drip(address)).collect();
    let good: JoinSet<Vec<Duration>> = (0..100).map(|_| ask_often(address)).collect();
    let mut times: Vec<Duration> = good.join_all().await.into_iter().flatten().collect();
    times.sort_unstable();
    assert_eq!(times.len(), 2000);
    let nearly_all = times[times.len() * 99 / 100];
    // Far above what it takes, far below what a blocked server takes.
    assert!(nearly_all < Duration::from_secs(1), "p99 {nearly_all:?}");
    while let Some(lasted) = drips.join_next().await {
        let lasted = lasted.unwrap();
        assert!(
            lasted < head + Duration::from_secs(3),
            "a drip lasted {lasted:?}"
        );
    }
}
