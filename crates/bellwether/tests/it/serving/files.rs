//! A table of open files that is full.

use std::time::{Duration, Instant};

use bellwether::Limits;
use bellwether_testkit::{Program, RawClient};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{application, expect_numbers};

const CHILD: &str = "BELLWETHER_TEST_FILES";

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

#[tokio::test]
async fn forty_open_files_are_survived_without_spinning_and_streams_go_on() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "serving::files::child",
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
