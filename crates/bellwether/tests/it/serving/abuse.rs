//! Many slow connections at once, and a table of open files that is full.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether::{Limits, Timeouts};
use bellwether_testkit::{Program, RawClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{application, expect_numbers};
use crate::support::serve;

const CHILD: &str = "BELLWETHER_TEST_FILES";

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

/// The child's whole program; nothing where it is run as a test.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_some() {
        let limits = Limits::default().max_connections(1000);
        application().limits(limits).run().await.unwrap();
    }
}

/// CPU time that a process has used, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn forty_open_files_are_survived_without_spinning_and_streams_go_on() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "serving::abuse::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, "1")
        .env_remove("HOST");
    let program = Program::start_command(command).await;
    let mut stream = RawClient::connect_and_get(program.addr(), "/count").await;
    stream.read_head().await;
    let mut next = 0;
    expect_numbers(&mut stream, &mut next, 1).await;

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(program.addr()).await.unwrap());
    }
    expect_numbers(&mut stream, &mut next, 10).await;
    let id = program.id().unwrap();
    let (began, ticks) = (Instant::now(), cpu_ticks(id));
    expect_numbers(&mut stream, &mut next, 200).await;
    let used = Duration::from_millis((cpu_ticks(id) - ticks) * 10);
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(
        share < 0.5,
        "the server used {:.0} % of a core",
        share * 100.0
    );

    drop(crowd);
    let mut client = RawClient::connect(program.addr()).await;
    client.get("/", &[("accept", "*/*")]).await;
    assert_eq!(client.read_head().await.status, 200);
    expect_numbers(&mut stream, &mut next, 10).await;
}
