//! What `bellwether serve` prints: commands that work as they stand, and what goes wrong around it, once and with what to
//! do about it.

use std::process::Stdio;

use bellwether_testkit::{Program, RawClient, TEST_TIMEOUT, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{command, run};

/// The lines with this text so far.
fn count(hub: &Program, text: &str) -> usize {
    let lines = hub.lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

/// Publishes a text; the status.
async fn publish(hub: &Program, data: &str) -> u16 {
    let mut client = RawClient::connect(hub.addr()).await;
    let length = data.len().to_string();
    let headers = [("content-length", length.as_str())];
    client
        .request("POST", "/publish?topic=news", &headers)
        .await;
    client.send(data).await;
    client.read_head().await.status
}

/// A hub under a limit of the shell's, such as `ulimit -n 40`.
#[cfg(unix)]
async fn limited(limit: &str, arguments: &[&str]) -> Program {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limit}; exec \"$0\" serve \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_bellwether"))
        .args(arguments)
        .env_remove("HOST");
    Program::start_command(shell).await
}

#[tokio::test]
async fn the_commands_of_the_first_screen_work_when_they_are_pasted() {
    let mut serve = command(&["serve"]);
    serve.env_remove("HOST");
    let mut hub = Program::start_command(serve).await;
    hub.wait_for_line("Ctrl-C to stop").await;
    let lines = hub.lines();
    let commands: Vec<_> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert!(!commands.is_empty(), "{lines:?}");
    for pasted in commands {
        let mut shell = Command::new("sh")
            .args(["-c", &format!("exec {pasted} --silent --show-error --fail")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(shell.stdout.take().unwrap()).lines();
        // The event that gives the reader an id comes before any that is published.
        let open = async { output.next_line().await.unwrap() };
        let open = within(TEST_TIMEOUT, open).await.flatten();
        assert!(open.is_some(), "`{pasted}` gave nothing");
        assert_eq!(publish(&hub, "hello").await, 200);
        let published = async {
            while let Some(line) = output.next_line().await.unwrap() {
                if line == "data: hello" {
                    return true;
                }
            }
            false
        };
        let is_seen = within(TEST_TIMEOUT, published).await;
        assert_eq!(is_seen, Some(true), "`{pasted}`");
        shell.kill().await.unwrap();
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_broker_that_is_lost_and_comes_back_is_one_line_each_time() {
    let redis = bellwether_testkit::RedisServer::start(&[]).await;
    let Some(mut redis) = bellwether_testkit::or_skip(redis) else {
        return;
    };
    let mut serve = command(&["serve", "--broker", &redis.url()]);
    serve.env_remove("HOST");
    let mut hub = Program::start_command(serve).await;
    assert_eq!(publish(&hub, "before").await, 200);
    for outage in 1..=2 {
        redis.stop().await;
        assert_eq!(publish(&hub, "meanwhile").await, 503);
        let line = hub.wait_for_line("the broker does not answer").await;
        assert!(
            line.starts_with("warning: ") && line.contains("start it"),
            "{line}"
        );
        assert!(line.contains("error="), "{line}");
        assert_eq!(count(&hub, "the broker does not answer"), outage);

        redis.start_again().await;
        let line = hub.wait_for_line("the broker answers again").await;
        assert!(line.starts_with("note: "), "{line}");
        assert_eq!(count(&hub, "the broker answers again"), outage);
        assert_eq!(publish(&hub, "after").await, 200);
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_broker_that_has_no_room_is_told_once_and_once_that_it_has() {
    // Without a policy of eviction it refuses what needs memory, and goes on to answer.
    let limit = ["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"];
    let redis = bellwether_testkit::RedisServer::start(&limit).await;
    let Some(redis) = bellwether_testkit::or_skip(redis) else {
        return;
    };
    let mut serve = command(&["serve", "--broker", &redis.url()]);
    serve.env_remove("HOST");
    let mut hub = Program::start_command(serve).await;
    let large = "x".repeat(200_000);
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(publish(&hub, &large).await == 503);
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the limit was not reached");
    let line = hub.wait_for_line("publishes fail although").await;
    assert!(
        line.starts_with("warning: ") && line.contains("maxmemory"),
        "{line}"
    );

    let raise = "CONFIG SET maxmemory 0\r\n";
    let address = ("127.0.0.1", redis.port());
    let mut by_hand = RawClient::connect(address).await;
    by_hand.send(raise).await;
    assert_eq!(by_hand.read_some().await, "+OK\r\n");
    assert_eq!(publish(&hub, &large).await, 200);
    let line = hub.wait_for_line("publishes work again").await;
    assert!(line.starts_with("note: "), "{line}");
    assert_eq!(count(&hub, "warning: "), 1, "{:?}", hub.lines());
}

#[cfg(all(feature = "sqlite", target_os = "linux"))]
#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_once_and_once_that_it_can() {
    let folder = std::env::temp_dir().join(format!("bellwether-full-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let broker = format!("sqlite:{}", folder.join("log.db").display());
    // A file that may not grow stands for a disk that has no room.
    let limit = "trap '' XFSZ; ulimit -S -f 2000";
    let mut hub = limited(limit, &["--broker", &broker]).await;
    let large = "x".repeat(100_000);
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(publish(&hub, &large).await == 503);
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the limit was not reached");
    let line = hub.wait_for_line("the broker does not answer").await;
    assert!(line.contains("log.db"), "{line}");
    assert!(line.contains("it works again once the disk does"), "{line}");

    let pid = hub.id().unwrap().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status();
    assert!(raised.await.unwrap().success());
    hub.wait_for_line("the broker answers again").await;
    assert_eq!(publish(&hub, &large).await, 200);
    assert_eq!(count(&hub, "warning: "), 1, "{:?}", hub.lines());
    drop(hub);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Connects clients that say nothing, and waits for a line that names the limit of open files; it comes once.
#[cfg(target_os = "linux")]
async fn crowded(limit: &str, clients: usize, expected: &str) {
    let mut hub = limited(limit, &[]).await;
    let mut crowd = Vec::new();
    for _ in 0..clients {
        crowd.push(tokio::net::TcpStream::connect(hub.addr()).await.unwrap());
    }
    let line = hub.wait_for_line(expected).await;
    assert!(
        line.starts_with("warning: ") && line.contains("ulimit -n"),
        "{line}"
    );
    // Places come and go with the crowd.
    for _ in 0..3 {
        crowd.truncate(clients / 2);
        let sent = run(&["send", hub.url(), "-t", "news", "-d", "room again"], b"").await;
        assert_eq!(sent.code, Some(0), "{}", sent.err);
        for _ in 0..clients {
            crowd.push(tokio::net::TcpStream::connect(hub.addr()).await.unwrap());
        }
    }
    drop(crowd);
    let sent = run(&["send", hub.url(), "-t", "news", "-d", "room again"], b"").await;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert_eq!(count(&hub, expected), 1, "{:?}", hub.lines());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hub_without_a_descriptor_for_a_client_says_so_once_and_what_to_raise() {
    crowded("ulimit -n 40", 60, "cannot accept connections").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_hub_says_so_once_and_what_to_raise() {
    crowded("ulimit -n 300", 300, "the server is full").await;
}
