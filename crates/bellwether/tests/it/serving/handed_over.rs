//! Unix sockets, and sockets that a supervisor has opened.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use bellwether::Listener;
use bellwether_testkit::RawClient;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::application;

const CHILD: &str = "BELLWETHER_TEST_ACTIVATED";

/// A path of this test's own; the server under test removes the file.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bellwether-{name}-{}.sock", std::process::id()))
}

async fn greet(stream: UnixStream) {
    let mut client = RawClient::over(stream);
    client.get("/", &[("accept", "*/*")]).await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.read_to_end().await.0, "hello");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_removed_at_the_end() {
    let path = path("served");
    let listener = Listener::unix(&path).await.unwrap();
    assert_eq!(
        listener.address().to_string(),
        format!("unix:{}", path.display())
    );
    let running = application().start(listener).await.unwrap();
    greet(UnixStream::connect(&path).await.unwrap()).await;
    running.stop().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_file_that_nobody_answers_on_is_replaced() {
    let path = path("stale");
    // The standard library leaves the file behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let running = application()
        .start(Listener::unix(&path).await.unwrap())
        .await
        .unwrap();
    greet(UnixStream::connect(&path).await.unwrap()).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_on_which_somebody_answers_is_left_alone() {
    let path = path("taken");
    let first = Listener::unix(&path).await.unwrap();
    let error = Listener::unix(&path).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    let running = application().start(first).await.unwrap();
    greet(UnixStream::connect(&path).await.unwrap()).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_plain_file_is_never_taken_for_a_stale_socket() {
    let path = path("file");
    std::fs::write(&path, "precious").unwrap();
    let error = Listener::unix(&path).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}

/// The child's whole program; nothing where it is run as a test.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_some() {
        application().run().await.unwrap();
    }
}

/// Starts a server as a supervisor does: the socket is descriptor 3.
fn activate(socket: OwnedFd) -> tokio::process::Child {
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "serving::handed_over::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, "1")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_tcp_socket_that_was_handed_over_is_served() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let _child = activate(socket.into());
    // The connection waits in the socket until the child accepts it.
    let mut client = RawClient::connect_and_get(address, "/count").await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.next_event().await.unwrap().data, "0");
}

#[tokio::test]
async fn a_unix_socket_that_was_handed_over_is_served_and_its_file_left_alone() {
    let path = path("activated");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut child = activate(socket.into());
    greet(UnixStream::connect(&path).await.unwrap()).await;
    child.kill().await.unwrap();
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();
}
