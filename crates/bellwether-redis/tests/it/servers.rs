//! Servers that cannot hold a log, the errors about them, and the ways to reach one.

use std::error::Error;
use std::time::Duration;

use bellwether_redis::{ConnectError, RedisBroker};
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord};
use bytes::Bytes;

use crate::support::{CommandLine, Node, append, connect, read, record, run_command, sleep};

/// The error of `connect`, and its text with all sources.
async fn connect_error(url: &str) -> (ConnectError, String) {
    let error = RedisBroker::connect(url).await.err();
    let error = error.unwrap_or_else(|| panic!("connected to {url}"));
    let source = error.source().map(|source| format!(": {source}"));
    let text = format!("{error}{}", source.unwrap_or_default());
    (error, text)
}

#[tokio::test]
async fn a_wrong_address_is_reported_without_its_password() {
    for url in [
        "127.0.0.1:6379",
        "http://u:secret@h/",
        "redis://u:secret@h/x",
        "redis://u:secret@h:x",
    ] {
        let (error, text) = connect_error(url).await;
        assert!(error.is_invalid() && !error.is_unavailable(), "{text}");
        assert!(!format!("{text}{error:?}").contains("secret"), "{error:?}");
    }
    let (error, text) = connect_error("redis://127.0.0.1:1").await;
    assert!(error.is_unavailable(), "{text}");
    assert!(text.contains("127.0.0.1:1/0"), "{text}");
    let named = RedisBroker::builder("redis://h")
        .name("a{b")
        .connect()
        .await;
    assert!(named.unwrap_err().is_invalid());
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn an_address_with_tls_names_the_feature_that_it_needs() {
    let (error, text) = connect_error("rediss://h").await;
    assert!(error.is_invalid() && text.contains("`tls`"), "{text}");
}

#[tokio::test]
async fn a_server_that_evicts_keys_is_refused_unless_allowed() {
    let arguments = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = or_skip(RedisServer::start(&arguments).await) else {
        return;
    };
    let (error, text) = connect_error(&server.url()).await;
    assert!(!error.is_invalid() && !error.is_unavailable());
    assert!(
        text.contains("allkeys-lru") && text.contains("noeviction"),
        "{text}"
    );
    let builder = RedisBroker::builder(server.url()).allow_eviction();
    builder.connect().await.unwrap();
    run_command(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    connect(&server).await;
}

#[tokio::test]
async fn a_replica_is_refused_at_connect_and_later() {
    let Some(primary) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let port = primary.port().to_string();
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let mut tail = broker.tail(Offset::ZERO).await.unwrap();
    tail.next().await.unwrap();
    run_command(&server, &["REPLICAOF", "127.0.0.1", &port]).await;
    let (error, text) = connect_error(&server.url()).await;
    assert!(
        !error.is_unavailable() && text.contains("primary"),
        "{text}"
    );
    assert!(broker.append(&[record(1)]).await.unwrap()[0].is_err());
    assert!(broker.bounds().await.is_err());
    // Within about a second also where only reads would show it.
    while tail.next().await.is_ok() {}
    run_command(&server, &["REPLICAOF", "NO", "ONE"]).await;
    append(&broker, &[record(1)]).await;
}

#[tokio::test]
async fn keys_with_something_else_in_them_are_refused() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    for key in ["{bellwether}:log", "{bellwether}:about"] {
        run_command(&server, &["FLUSHALL"]).await;
        run_command(&server, &["SET", key, "x"]).await;
        let (error, text) = connect_error(&server.url()).await;
        assert!(
            !error.is_unavailable() && text.contains("something else"),
            "{text}"
        );
    }
    run_command(&server, &["FLUSHALL"]).await;
    let broker = connect(&server).await;
    run_command(&server, &["DEL", "{bellwether}:log"]).await;
    run_command(&server, &["SET", "{bellwether}:log", "x"]).await;
    let results = broker.append(&[record(1)]).await.unwrap();
    // The records were right, and the script's text is not for clients.
    let error = results[0].as_ref().unwrap_err();
    assert!(!error.is_refused());
    let text = error.to_string();
    assert!(text.contains("something else"), "{text}");
    for inside in ["script", "WRONGTYPE", "@"] {
        assert!(!text.contains(inside), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_still_loads_its_data_is_waited_for() {
    let slow = [
        "--appendonly",
        "no",
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let Some(mut server) = or_skip(RedisServer::start(&slow).await) else {
        return;
    };
    let mut cli = CommandLine::new(&server).await;
    for number in 0..3000 {
        cli.run(&["SET", &format!("key {number}"), "x"]).await;
    }
    cli.run(&["SAVE"]).await;
    server.kill().await;
    let url = server.url();
    let connecting = async {
        // Until there is a server at all.
        loop {
            match RedisBroker::connect(&url).await {
                Ok(broker) => return broker,
                Err(error) => {
                    let mut causes = error.to_string();
                    if let Some(cause) = std::error::Error::source(&error) {
                        causes += &cause.to_string();
                    }
                    assert!(!causes.contains("LOADING"), "{causes}");
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (broker, ()) = tokio::join!(connecting, server.start_again());
    append(&broker, &[record(1)]).await;
}

#[tokio::test]
async fn a_full_server_refuses_publishes_serves_readers_and_recovers() {
    let arguments = ["--maxmemory", "12mb", "--maxmemory-policy", "noeviction"];
    let Some(server) = or_skip(RedisServer::start(&arguments).await) else {
        return;
    };
    let broker = connect(&server).await;
    let mut stored = Vec::new();
    let error = loop {
        let record = NewRecord {
            event: Bytes::from(vec![b'x'; 64 << 10]),
            ..record(stored.len() as u32)
        };
        match broker.append(&[record]).await.unwrap().remove(0) {
            Ok(record) => stored.push(record),
            Err(error) => break error,
        }
        assert!(stored.len() < 1000, "it never fills up");
    };
    assert!(
        !error.is_refused() && error.to_string().contains("maxmemory"),
        "{error}"
    );
    // Readers go on.
    let last = stored.last().unwrap().cursor.offset;
    assert_eq!(read(&broker, last).await.records.len(), 1);
    let mut tail = broker.tail(last).await.unwrap();
    assert_eq!(tail.next().await.unwrap().records.len(), 1);
    run_command(&server, &["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let more = append(&broker, &[record(9)]).await;
    assert_eq!(more[0].cursor.epoch, stored[0].cursor.epoch);
    assert_eq!(
        tail.next().await.unwrap().records[0].offset,
        more[0].cursor.offset
    );
}

#[tokio::test]
async fn a_log_lives_in_one_slot_of_a_cluster() {
    let Some(server) = or_skip(RedisServer::start(&["--cluster-enabled", "yes"]).await) else {
        return;
    };
    let (error, text) = connect_error(&server.url()).await;
    assert!(error.is_unavailable(), "no node has its slot yet: {text}");
    let mut cli = CommandLine::new(&server).await;
    cli.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let up = async {
        while !cli
            .text(&["CLUSTER", "INFO"])
            .await
            .contains("cluster_state:ok")
        {}
    };
    within(TEST_TIMEOUT, up).await.expect("the cluster is up");
    let mut node = Node::open(connect(&server).await).await;
    node.publish(20).await;
    assert_eq!(node.take(20).await, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_log_lives_in_the_database_of_the_url() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = RedisBroker::connect(format!("{}/3", server.url()))
        .await
        .unwrap();
    append(&broker, &[record(1)]).await;
    // The other protocol of the server shows the same.
    let url = format!("{}/3?protocol=resp3", server.url());
    let mut node = Node::open(RedisBroker::connect(url).await.unwrap()).await;
    node.publish(1).await;
    assert_eq!(node.take(1).await, [1]);
    let mut cli = CommandLine::new(&server).await;
    assert_eq!(cli.run(&["DBSIZE"]).await, redis::Value::Int(0));
    cli.run(&["SELECT", "3"]).await;
    assert_eq!(
        cli.run(&["EXISTS", "{bellwether}:log"]).await,
        redis::Value::Int(1)
    );
    assert!(format!("{broker:?}").contains(&format!("127.0.0.1:{}/3", server.port())));
}

/// The commands that the README lists.
const RIGHTS: &str = "+ping +select +script|load +evalsha +exists +del +get +set +hget +hmget +hset +hdel +hlen +hrandfield +time +xadd +xgroup|create \
                      +xgroup|destroy +xinfo|stream +xlen +xrange +xread +xtrim +info";

#[tokio::test]
async fn a_user_with_the_rights_of_the_readme_is_enough() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    assert!(include_str!("../../README.md").contains(&RIGHTS.replace('\\', "")));
    let mut user = vec![
        "ACL",
        "SETUSER",
        "hub",
        "on",
        ">secret",
        "resetkeys",
        "~{bellwether}:*",
    ];
    user.extend(RIGHTS.split_whitespace());
    run_command(&server, &user).await;
    let url = server.url().replace("redis://", "redis://hub:secret@");
    let broker = RedisBroker::connect(&url).await.unwrap();
    let shown = format!("{broker:?} {:?}", RedisBroker::builder(&url));
    assert!(!shown.contains("secret"), "{shown}");
    let mut node = Node::open(broker).await;
    node.publish(3).await;
    assert_eq!(node.take(3).await, [1, 2, 3]);
    run_command(&server, &["DEL", "{bellwether}:log"]).await;
    node.gap().await;

    let (error, text) = connect_error(&url.replace("secret", "wrong")).await;
    assert!(!error.is_invalid(), "{text}");
    assert!(!text.contains("wrong@"), "{text}");
    // A server that hides its settings must be allowed.
    run_command(&server, &["ACL", "SETUSER", "hub", "-info"]).await;
    let (_, text) = connect_error(&url).await;
    assert!(text.contains("allow_eviction"), "{text}");
    let builder = RedisBroker::builder(&url).allow_eviction();
    append(&builder.connect().await.unwrap(), &[record(9)]).await;
}

#[tokio::test]
async fn a_server_can_be_reached_by_its_socket_file() {
    let folder = std::env::temp_dir().join(format!("bellwether-socket-{}", std::process::id()));
    tokio::fs::create_dir_all(&folder).await.unwrap();
    let path = folder.join("redis.sock");
    let arguments = ["--unixsocket", path.to_str().unwrap()];
    let Some(_server) = or_skip(RedisServer::start(&arguments).await) else {
        return;
    };
    let broker = RedisBroker::connect(format!("unix://{}", path.display()))
        .await
        .unwrap();
    append(&broker, &[record(1)]).await;
    let _ = tokio::fs::remove_dir_all(folder).await;
}

/// The roots of the machine are named by a variable of the environment, so this needs a process of its own.
#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_with_tls_is_reached_if_its_certificate_is_trusted() {
    let port = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port().to_string()
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    let (certificate, key) = (
        format!("{folder}/certificate.pem"),
        format!("{folder}/key.pem"),
    );
    let mut arguments = vec!["--tls-port", &port, "--tls-auth-clients", "no"];
    arguments.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
    let Some(_server) = or_skip(RedisServer::start(&arguments).await) else {
        return;
    };
    let example = bellwether_testkit::example_path("redis_log");
    let run = async |roots: &str| {
        let mut command = tokio::process::Command::new(&example);
        command
            .arg(format!("rediss://localhost:{port}"))
            .env("SSL_CERT_FILE", roots);
        command.output().await.unwrap()
    };
    let output = run(&certificate).await;
    assert!(output.status.success(), "{output:?}");
    assert!(!run("/dev/null").await.status.success());
}

#[tokio::test]
async fn the_example_runs() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let mut command = tokio::process::Command::new(bellwether_testkit::example_path("redis_log"));
    let output = command.arg(server.url()).output().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shown.lines().count(), 4, "{shown}");
}
