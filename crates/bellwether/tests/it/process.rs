//! What the process does: its first line, its signals, its exit status.
//!
//! A child is this test binary itself, told by the environment to be a server and nothing else.

use std::time::Duration;

use bellwether::{Application, Drain, Limits, ServerSentEvent, Stream, get, is_stopping, stream};
use bellwether_testkit::{BodyEnd, Program, RawClient};
use tokio::process::Command;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(10);
const ROLE: &str = "BELLWETHER_TEST_CHILD";

#[get("/asks")]
fn asks() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        while !is_stopping() {
            yield ServerSentEvent::text("one");
            sleep(Duration::from_millis(20)).await;
        }
        println!("The application is stopping!");
    )
}

#[get("/stays")]
fn stays() -> impl Stream<Item = ServerSentEvent> {
    stream!(loop {
        let _ = is_stopping();
        yield ServerSentEvent::text("one");
        sleep(Duration::from_millis(20)).await;
    })
}

/// Blocks a thread of the runtime, which no runtime survives in good order.
#[get("/blocks")]
fn blocks() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("one");
        sleep(Duration::from_millis(50)).await;
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    )
}

/// Blocks its thread for a moment, and then fails.
#[get("/fails")]
fn fails() -> impl Stream<Item = Result<ServerSentEvent, std::io::Error>> {
    stream!(
        yield Ok(ServerSentEvent::text("one"));
        sleep(Duration::from_millis(1)).await;
        std::thread::sleep(Duration::from_millis(250));
        yield Err(std::io::Error::other("the disk is on fire"));
    )
}

/// The child's whole program; nothing where it is run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let drain = match role.as_str() {
        "impatient" => Drain::default()
            .window(Duration::from_millis(100))
            .deadline(Duration::from_millis(200))
            .last_resort(Duration::from_millis(300)),
        _ => Drain::default()
            .window(Duration::from_secs(600))
            .deadline(Duration::from_secs(600)),
    };
    let application = Application::new()
        .drain(drain)
        .route(asks)
        .route(stays)
        .route(blocks)
        .route(fails);
    let application = match role.as_str() {
        "silent" => application.no_warnings_on_stderr(),
        _ => application,
    };
    application.run().await.unwrap();
}

fn command(role: &str, port: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "process::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ROLE, role)
        .env("PORT", port)
        .env_remove("HOST");
    command
}

async fn start(role: &str) -> Program {
    Program::start_command(command(role, "0")).await
}

/// What a child that cannot start says.
async fn complaint(port: &str) -> String {
    let output = command("patient", port).output().await.unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn first_event(program: &Program, path: &str) -> RawClient {
    let mut client = RawClient::connect_and_get(program.addr(), path).await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.next_event().await.unwrap().data, "one");
    client
}

#[tokio::test]
async fn sigterm_and_ctrl_c_end_the_process_in_good_order_with_no_set_up() {
    for signal in ["TERM", "INT"] {
        let mut program = start("patient").await;
        let mut client = first_event(&program, "/asks").await;
        program.signal(signal).await;
        program.wait_for_line("draining 1 stream").await;
        program.wait_for_line("The application is stopping!").await;
        program.wait_for_line("done: 1 ended, 0 cut").await;
        assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        assert!(program.wait_exit(SOON).await.success());
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let mut program = start("patient").await;
    let mut client = first_event(&program, "/stays").await;
    program.terminate().await;
    program.wait_for_line("draining 1 stream").await;
    client.next_event().await.expect("the stream stays open");
    program.signal("INT").await;
    assert_eq!(program.wait_exit(SOON).await.code(), Some(130));
}

#[tokio::test]
async fn the_process_ends_even_if_a_thread_of_it_never_does() {
    let mut program = start("impatient").await;
    let client = first_event(&program, "/blocks").await;
    sleep(Duration::from_millis(200)).await;
    program.terminate().await;
    assert_eq!(program.wait_exit(SOON).await.code(), Some(1));
    drop(client);
}

#[tokio::test]
async fn the_first_line_tells_the_address_and_a_taken_port_tells_what_to_do() {
    let program = start("patient").await;
    assert!(
        program.url().starts_with("http://127.0.0.1:"),
        "bound to loopback unless told"
    );
    let port = program.addr().rsplit(':').next().unwrap().to_owned();
    let told = complaint(&port).await;
    assert!(
        told.contains(&format!("127.0.0.1:{port}")) && told.contains("PORT="),
        "{told}"
    );
}

#[tokio::test]
async fn a_port_that_is_no_number_is_told_as_it_was_found() {
    let told = complaint("80a").await;
    assert!(
        told.contains("PORT must be a number from 0 to 65535: found `80a`"),
        "{told}"
    );
}

/// What a child writes while two clients read a stream that blocks and fails.
async fn warnings(role: &str) -> String {
    let mut program = start(role).await;
    for _ in 0..2 {
        let mut client = first_event(&program, "/fails").await;
        assert_eq!(
            client.next_event().await.unwrap().event.as_str(),
            "bellwether.error"
        );
        assert_eq!(client.next_event().await, Err(BodyEnd::Cut));
    }
    program.terminate().await;
    program.wait_exit(SOON).await;
    program.lines().join("\n")
}

#[tokio::test]
async fn a_program_without_a_subscriber_shows_what_failed_and_what_blocks_once() {
    let shown = warnings("server").await;
    let count = |text: &str| shown.matches(text).count();
    assert_eq!(
        count("error: stream failed (path=/fails, error=the disk is on fire)"),
        1,
        "{shown}"
    );
    assert_eq!(
        count("warning: a generator holds its thread"),
        usize::from(cfg!(debug_assertions))
    );
    assert!(
        shown.lines().all(|line| !line.contains("panicked")),
        "{shown}"
    );
    assert!(!warnings("silent").await.contains("stream failed"));
}

#[tokio::test]
async fn an_address_that_cannot_be_used_says_what_it_should_be() {
    let error = |address: &'static str| async move {
        Application::<()>::new()
            .bind(address)
            .run()
            .await
            .unwrap_err()
            .to_string()
    };
    let expected = "is a host and a port, such as 127.0.0.1:8000";
    for address in [
        "localhost",
        "::1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:70000",
    ] {
        let message = error(address).await;
        assert!(
            message.contains(expected) && message.contains(address),
            "{message}"
        );
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = error(address.leak()).await;
    assert!(
        message.contains("listen on another port") && !message.contains("PORT="),
        "{message}"
    );
}

#[tokio::test]
async fn settings_that_contradict_one_another_are_refused_at_the_start() {
    let refused = |application: Application| async move {
        let listener = bellwether::Listener::tcp("127.0.0.1:0").await.unwrap();
        let error = application.start(listener).await.unwrap_err();
        assert!(error.is_configuration(), "{error}");
        error.to_string()
    };
    let drain = Drain::default()
        .window(Duration::from_secs(60))
        .deadline(Duration::from_secs(5));
    assert!(
        refused(Application::new().drain(drain))
            .await
            .contains("60s")
    );
    let limits = Limits::default()
        .max_connections(5)
        .max_connections_per_address(6);
    assert!(
        refused(Application::new().limits(limits))
            .await
            .contains("max_connections (5)")
    );
    let limits = Limits::default().max_uri_bytes(1 << 20);
    assert!(
        refused(Application::new().limits(limits))
            .await
            .contains("max_uri_bytes")
    );

    // A deadline that is shorter than the window nobody has set is no contradiction.
    let drain = Drain::default().deadline(Duration::from_secs(1));
    let listener = bellwether::Listener::tcp("127.0.0.1:0").await.unwrap();
    let running = Application::<()>::new()
        .drain(drain)
        .start(listener)
        .await
        .unwrap();
    running.stop().await.unwrap();
}
