//! Started programs: address, lines, signals, end.

use std::path::Path;
use std::time::Duration;

use bellwether_testkit::{Program, TEST_TIMEOUT, eventually};
use tokio::process::Command;

/// A shell script that stands for a server.
fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    command
}

const SERVER: &str = r#"
    trap 'echo "stopping" >&2; exit 3' TERM
    echo "Listening on http://127.0.0.1:$((PORT + 4000))/"
    while :; do sleep 0.01; done
"#;

#[tokio::test]
async fn the_address_is_read_from_the_first_line_with_port_zero() {
    let program = Program::start_command(script(SERVER)).await;
    assert_eq!(program.url(), "http://127.0.0.1:4000");
    assert_eq!(program.addr(), "127.0.0.1:4000");
}

#[tokio::test]
async fn a_program_is_asked_to_stop_and_its_end_is_seen() {
    let mut program = Program::start_command(script(SERVER)).await;
    program.terminate().await;
    assert_eq!(program.wait_for_line("stop").await, "stopping");
    assert_eq!(program.wait_exit(TEST_TIMEOUT).await.code(), Some(3));
}

#[tokio::test]
async fn each_line_is_found_once() {
    let mut program =
        Program::start_command(script("echo http://h; echo a 1; echo b; echo a 2")).await;
    assert_eq!(program.wait_for_line("a ").await, "a 1");
    assert_eq!(program.wait_for_line("a ").await, "a 2");
    assert_eq!(program.wait_for_line("b").await, "b");
}

#[tokio::test]
#[should_panic(expected = "it printed:\n  port taken")]
async fn a_program_that_ends_at_once_shows_what_it_printed() {
    Program::start_command(script("echo port taken; exit 1")).await;
}

#[tokio::test]
#[should_panic(expected = "did not end within 10ms")]
async fn a_program_that_never_ends_is_reported() {
    let mut program = Program::start_command(script(SERVER)).await;
    program.wait_exit(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn dropping_the_value_kills_the_process() {
    let program = Program::start_command(script(SERVER)).await;
    let folder = format!("/proc/{}", program.id().unwrap());
    drop(program);
    eventually("the end of the process", TEST_TIMEOUT, || {
        // A killed child stays in the table until the runtime has reaped it.
        let stat = std::fs::read_to_string(Path::new(&folder).join("stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}
