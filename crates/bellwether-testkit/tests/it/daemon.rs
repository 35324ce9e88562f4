//! Servers of the machine: they answer, keep port and folder over a kill, and end with their value.

use std::path::Path;
use std::time::Duration;

use bellwether_testkit::{NatsServer, RedisServer, TEST_TIMEOUT, eventually, or_skip, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The answer of the server at the port; `None` if it is silent or has ended.
async fn ask(port: u16, question: &str) -> Option<String> {
    let exchange = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        socket.write_all(question.as_bytes()).await.ok()?;
        let mut answer = vec![0; 4096];
        let length = socket.read(&mut answer).await.ok()?;
        answer.truncate(length);
        Some(String::from_utf8(answer).unwrap())
    };
    within(Duration::from_millis(500), exchange).await.flatten()
}

async fn is_gone(port: u16, folder: &Path) {
    assert_eq!(ask(port, "PING\r\n").await, None);
    assert!(!folder.exists());
}

#[tokio::test]
async fn redis_keeps_its_port_and_its_data_over_a_kill() {
    let Some(mut redis) = or_skip(RedisServer::start(&["--maxmemory", "50mb"]).await) else {
        return;
    };
    let (port, folder) = (redis.port(), redis.folder().to_owned());
    let ask = async |question| ask(port, question).await;
    assert_eq!(ask("SET a 1\r\n").await.as_deref(), Some("+OK\r\n"));
    redis.kill().await;
    assert_eq!(ask("PING\r\n").await, None);
    redis.start_again().await;
    assert_eq!(ask("GET a\r\n").await.as_deref(), Some("$1\r\n1\r\n"));

    redis.pause().await;
    assert_eq!(ask("PING\r\n").await, None);
    redis.resume().await;
    assert_eq!(ask("PING\r\n").await.as_deref(), Some("+PONG\r\n"));
    let limit = ask("CONFIG GET maxmemory\r\n").await.unwrap();
    assert!(limit.contains("\r\n52428800\r\n"), "{limit:?}");

    redis.stop().await;
    redis.start_again().await;
    drop(redis);
    is_gone(port, &folder).await;
}

#[tokio::test]
async fn nats_keeps_its_port_over_a_kill() {
    let Some(mut nats) = or_skip(NatsServer::start("max_payload: 12345").await) else {
        return;
    };
    let (port, folder) = (nats.port(), nats.folder().to_owned());
    nats.kill().await;
    assert_eq!(ask(port, "").await, None);
    nats.start_again().await;
    let info = ask(port, "").await.unwrap();
    assert!(info.contains("\"max_payload\":12345"), "{info}");
    assert!(info.contains("\"jetstream\":true"), "{info}");

    nats.pause().await;
    nats.resume().await;
    nats.stop().await;
    nats.start_again().await;
    assert!(folder.join("jetstream").is_dir());
    drop(nats);
    is_gone(port, &folder).await;
}

#[tokio::test]
#[should_panic(expected = "started on no port; the end of its log")]
async fn a_daemon_that_refuses_its_arguments_is_reported_with_its_log() {
    let Some(_) = or_skip(RedisServer::start(&["--no-such-setting", "1"]).await) else {
        panic!("started on no port; the end of its log is not there, since it was skipped");
    };
}

#[tokio::test]
async fn several_daemons_do_not_meet() {
    let start = || RedisServer::start(&[]);
    let (first, second) = tokio::join!(start(), start());
    let (Some(first), Some(second)) = (or_skip(first), or_skip(second)) else {
        return;
    };
    assert_ne!(first.port(), second.port());
    assert_ne!(first.folder(), second.folder());
    eventually("both folders", TEST_TIMEOUT, || {
        first.folder().is_dir() && second.folder().is_dir()
    })
    .await;
}
