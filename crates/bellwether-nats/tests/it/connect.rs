//! What keeps a log from being opened, and which error reports it.

use std::error::Error;
use std::time::{Duration, Instant};

use bellwether_nats::{ConnectError, NatsBroker};
use bellwether_testkit::{NatsServer, or_skip};
use bellwether_topics::broker::Broker;
use serde_json::json;

use crate::support;

async fn refused(builder: bellwether_nats::NatsBuilder) -> ConnectError {
    builder.connect().await.expect_err("it is refused")
}

#[tokio::test]
async fn an_address_without_a_server_is_an_error() {
    let port = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let error = refused(NatsBroker::builder(&format!(
        "nats://u:secret@127.0.0.1:{port}"
    )))
    .await;
    assert!(error.is_unreachable(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&port.to_string()) && !text.contains("secret"),
        "{text}"
    );

    // A server that accepts and sends nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("nats://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let timeout = Duration::from_millis(200);
    let error = refused(NatsBroker::builder(&address).timeout(timeout)).await;
    assert!(error.is_unreachable(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn settings_that_are_not_valid_are_an_error_before_anything_is_sent() {
    let address = "nats://127.0.0.1:1";
    for builder in [
        NatsBroker::builder("http://127.0.0.1"),
        NatsBroker::builder(""),
        NatsBroker::builder(address).stream("a.b"),
        NatsBroker::builder(address).stream(""),
        NatsBroker::builder(address).subject_prefix("a..b"),
        NatsBroker::builder(address).subject_prefix("a.*"),
        NatsBroker::builder(address).domain("a b"),
        NatsBroker::builder(address).max_age(Duration::from_millis(1)),
    ] {
        let error = refused(builder).await;
        assert!(error.is_invalid(), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_an_error() {
    let disabled = "accounts: { A: { users: [{ user: a, password: b }] } }\nno_auth_user: a";
    let Some(server) = or_skip(NatsServer::start(disabled).await) else {
        return;
    };
    let error = refused(support::builder(&server)).await;
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("JetStream"), "{error}");
}

#[tokio::test]
async fn a_wrong_user_is_refused_and_a_right_one_connects() {
    let config = r#"authorization { user: "us@r", password: "p:w/d" }"#;
    let Some(server) = or_skip(NatsServer::start(config).await) else {
        return;
    };
    for builder in [
        support::builder(&server),
        support::builder(&server).user_and_password("us@r", "wrong"),
        support::builder(&server).token("wrong"),
    ] {
        let error = refused(builder).await;
        assert!(error.is_unauthorized(), "{error}");
        assert!(error.source().is_some());
    }
    let in_address = format!("nats://us%40r:p%3Aw%2Fd@127.0.0.1:{}", server.port());
    let broker = NatsBroker::connect(&in_address).await.unwrap();
    let debug = format!("{broker:?}");
    assert!(
        !debug.contains("p%3A") && debug.contains("***@127.0.0.1"),
        "{debug}"
    );
    let builder = support::builder(&server).user_and_password("us@r", "p:w/d");
    builder.connect().await.unwrap();
}

#[tokio::test]
async fn a_token_in_the_address_is_used() {
    let Some(server) = or_skip(NatsServer::start("authorization { token: t0p }").await) else {
        return;
    };
    let address = format!("nats://t0p@127.0.0.1:{}", server.port());
    NatsBroker::connect(&address).await.unwrap();
}

#[tokio::test]
async fn missing_permissions_are_an_error() {
    let config = r#"authorization { users: [
        { user: u, password: p, permissions: { publish: ["x"], subscribe: ["_INBOX.>"] } }
    ] }"#;
    let Some(server) = or_skip(NatsServer::start(config).await) else {
        return;
    };
    let error = refused(support::builder(&server).user_and_password("u", "p")).await;
    assert!(error.is_unauthorized(), "{error}");
    assert!(error.to_string().contains("$JS.API"), "{error}");
}

#[tokio::test]
async fn a_stream_with_other_settings_is_refused_by_name() {
    let Some(server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let client = support::client(&server).await;
    // The stream of a program that knows nothing of this log.
    let plain = json!({ "name": "plain", "subjects": ["plain.*"], "max_msgs_per_subject": 5 });
    support::api(&client, "STREAM.CREATE.plain", plain).await;
    let error = refused(NatsBroker::builder(&server.url()).stream("plain")).await;
    assert!(error.is_unsuitable(), "{error}");
    for setting in ["deny_delete", "deny_purge", "max_msgs_per_subject"] {
        assert!(error.to_string().contains(setting), "{error}");
    }

    let broker = support::builder(&server)
        .max_records(100)
        .connect()
        .await
        .unwrap();
    let again = || support::same_log(&server, &broker);
    again()
        .connect()
        .await
        .expect("what was not set is taken as it is");
    again()
        .max_records(100)
        .connect()
        .await
        .expect("the same is the same");
    let error = refused(again().max_records(99)).await;
    assert!(error.is_unsuitable(), "{error}");
    assert!(
        error.to_string().contains("max_msgs is 100, not 99"),
        "{error}"
    );

    // Settings that are changed while the log is open lead to errors, not to wrong pages.
    support::edit(&client, broker.stream(), |config| {
        config["deny_delete"] = json!(true);
    })
    .await;
    broker.bounds().await.unwrap();
    support::edit(&client, broker.stream(), |config| {
        config["max_msgs_per_subject"] = json!(1);
    })
    .await;
    let error = broker.bounds().await.unwrap_err();
    assert!(
        error.to_string().contains("max_msgs_per_subject"),
        "{error}"
    );
}

#[tokio::test]
async fn subjects_of_another_stream_are_an_error() {
    let Some(server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let first = support::builder(&server)
        .subject_prefix("events.log")
        .connect()
        .await
        .unwrap();
    support::fill(&first, 0..1).await;
    let error = refused(support::builder(&server).subject_prefix("events.log")).await;
    assert!(error.is_unsupported(), "{error}");
    assert!(
        error.source().unwrap().to_string().contains("overlap"),
        "{error:?}"
    );
}

#[tokio::test]
async fn nodes_that_start_at_once_create_one_stream() {
    let Some(server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let stream = support::stream_name();
    let connect = || NatsBroker::builder(&server.url()).stream(&stream).connect();
    let (a, b, c) = tokio::join!(connect(), connect(), connect());
    let mut epochs = Vec::new();
    for broker in [a, b, c] {
        epochs.push(broker.unwrap().bounds().await.unwrap().epoch);
    }
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]));
}
