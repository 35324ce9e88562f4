//! How a command gets to its server: whom it trusts, what it shows, how many connections it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_testkit::{Answer, ScriptedServer};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::{run, run_with};

fn stream() -> Answer {
    Answer::event_stream().send("data: 1\n\n").hold()
}

fn id(id: &str) -> Answer {
    Answer::status(200).send(format!("{id}\n")).with_length()
}

/// A server whose connections are counted, with TLS if there is a configuration.
async fn counted(server: &ScriptedServer, tls: Option<ServerConfig>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&count);
    let server = server.clone();
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            let (server, tls) = (server.clone(), tls.clone());
            tokio::spawn(async move {
                let mut pipe = server.connect().unwrap();
                let _ = match tls {
                    None => tokio::io::copy_bidirectional(&mut socket, &mut pipe).await,
                    Some(tls) => match tls.accept(socket).await {
                        Ok(mut socket) => {
                            tokio::io::copy_bidirectional(&mut socket, &mut pipe).await
                        }
                        Err(error) => Err(error),
                    },
                };
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn many_lines_go_over_one_connection() {
    let server = ScriptedServer::new([id("1")]).repeat_last();
    let (port, connections) = counted(&server, None).await;
    let lines = "line\n".repeat(2000);
    let arguments = [
        "send",
        &format!(":{port}"),
        "--topic",
        "a",
        "--event",
        "a b",
    ];
    let done = run(&arguments, lines.as_bytes()).await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(done.text().lines().count(), 2000);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_eq!(
        server.requests()[1999].target,
        "/publish?topic=a&event=a%20b"
    );
}

#[tokio::test]
async fn a_server_that_announces_the_end_of_its_connections_gets_every_line_once() {
    let closing = |name: &str| id(name).header("connection", "close").cut();
    let server = ScriptedServer::new([closing("1"), closing("2"), closing("3")]);
    let (port, connections) = counted(&server, None).await;
    let done = run(&["send", &format!(":{port}")], b"a\nb\nc\n").await;
    assert_eq!(
        (done.text(), done.code),
        ("1\n2\n3\n", Some(0)),
        "{}",
        done.err
    );
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn an_event_name_that_cannot_be_sent_is_wrong_usage() {
    let done = run(&["send", ":1", "--event", "a\nb", "-d", "x"], b"").await;
    assert_eq!(done.code, Some(2), "{}", done.err);
}

/// A certificate for `localhost`, as PEM, and the configuration of its server.
fn authority() -> (String, ServerConfig) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    (cert.pem(), config)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_option_and_by_variable() {
    let ca = concat!(env!("CARGO_TARGET_TMPDIR"), "/servers-ca.pem");
    let (pem, config) = authority();
    std::fs::write(ca, pem).unwrap();
    let server = ScriptedServer::new([stream()]).repeat_last();
    let (port, _) = counted(&server, Some(config)).await;
    let url = format!("https://localhost:{port}/events");
    let listen = ["listen", &url, "--raw", "--count", "1", "--no-reconnect"];
    let bench = [
        "bench",
        &url,
        "--streams",
        "2",
        "--seconds",
        "0.1",
        "--quiet",
    ];
    for command in [&listen[..], &bench] {
        let by_option = [command, &["--ca", ca]].concat();
        let done = run_with(&by_option, &[("SSL_CERT_FILE", "/no/such/file")]).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}", done.err);
        let done = run_with(command, &[("SSL_CERT_FILE", ca)]).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}", done.err);
        let done = run_with(command, &[("SSL_CERT_FILE", "")]).await;
        assert_eq!(done.code, Some(3), "{command:?}: {}", done.err);
    }

    let server = ScriptedServer::new([id("1"), id("2")]);
    let (pem, config) = authority();
    std::fs::write(ca, pem).unwrap();
    let (port, connections) = counted(&server, Some(config)).await;
    let url = format!("https://localhost:{port}");
    let done = run_with(&["send", &url, "--ca", ca, "-d", "a", "-d", "b"], &[]).await;
    assert_eq!((done.text(), done.err.as_str()), ("1\n2\n", ""));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_wrong_usage() {
    let none = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for file in ["/no/such/file", none] {
        for command in ["listen", "send", "bench"] {
            let done = run_with(&[command, "https://localhost:1/", "--ca", file], &[]).await;
            assert_eq!(done.code, Some(2), "{command}: {}", done.err);
            assert!(done.err.contains(file), "{}", done.err);
            let variables = [("SSL_CERT_FILE", file)];
            let done = run_with(&[command, "https://localhost:1/"], &variables).await;
            assert_eq!(done.code, Some(2), "{command}: {}", done.err);
            assert!(done.err.contains("SSL_CERT_FILE"), "{}", done.err);
        }
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_says_what_to_do() {
    // Many servers answer what they cannot read by a status.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for command in [&["listen", "--no-reconnect"][..], &["send", "-d", "x"]] {
        let url = format!("https://localhost:{port}/");
        let done = run(&[command, &[&*url]].concat(), b"").await;
        assert_eq!(done.code, Some(3), "{}", done.err);
        let expected = format!("localhost answers on port {port} without TLS");
        assert!(done.err.contains(&expected), "{}", done.err);
        assert!(done.err.contains("begins with http://"), "{}", done.err);
    }
}

#[tokio::test]
async fn an_empty_variable_is_none() {
    let server = ScriptedServer::new([id("1"), id("2")]);
    let url = format!("http://{}", server.listen().await);
    let empty = [("BELLWETHER_TOKEN", ""), ("BELLWETHER_URL", "")];
    let done = run_with(&["send", &url, "-d", "a"], &empty).await;
    assert_eq!((done.text(), done.err.as_str()), ("1\n", ""));
    assert_eq!(server.requests()[0].header("authorization"), None);
    let done = run_with(&["send", "-d", "a"], &empty).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("<URL>"), "{}", done.err);
    let done = run_with(&["send", &url, "-d", "a", "--token", ""], &[]).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    let done = run_with(&["send", "-d", "a"], &[("BELLWETHER_URL", &url)]).await;
    assert_eq!(done.text(), "2\n");
}

#[tokio::test]
async fn a_token_can_come_from_a_file() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/servers-token");
    std::fs::write(file, "abc\n").unwrap();
    let server = ScriptedServer::new([id("1")]);
    let url = format!("http://{}", server.listen().await);
    let arguments = ["send", &url, "-d", "a", "--token-file", file];
    let done = run_with(&arguments, &[("BELLWETHER_TOKEN", "other")]).await;
    assert_eq!((done.text(), done.err.as_str()), ("1\n", ""));
    let requests = server.requests();
    assert_eq!(requests[0].header("authorization"), Some("Bearer abc"));
    for wrong in ["/no/such/file", "/dev/null"] {
        let done = run_with(&["send", &url, "-d", "a", "--token-file", wrong], &[]).await;
        assert_eq!(done.code, Some(2), "{}", done.err);
    }
}
