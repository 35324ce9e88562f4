//! What the process does: its first line, its signals, its exit status.
//!
//! A child is this test binary itself, told by the environment to be a server and nothing else.

use std::time::Duration;

use bellwether::{Application, Drain, ServerSentEvent, Stream, get, is_stopping, stream};
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
        .route(blocks);
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
