//! The exit codes of the README that no other file here shows, command by command.

use bellwether_testkit::{Answer, ScriptedServer};
use tokio::net::TcpListener;

use crate::support::{Running, run};

#[tokio::test]
async fn wrong_usage_is_code_2_for_every_command() {
    for arguments in [
        &["listen", "ftp://example.com/"][..],
        &["listen", "http://"],
        &["listen", ":8000/", "--count", "0"],
        &["listen", ":8000/", "--raw", "--json"],
        &["listen", ":8000/", "--since-start", "--last-event-id", "7"],
        &["listen", ":8000/", "--last-event-id", "a\nb"],
        &["listen", ":8000/", "--header", "no colon"],
        &["encode", "--max-line-bytes", "many"],
        &["decode", "--last-event-id", "a\rb"],
        &["bench", ":8000/", "--streams", "0"],
        &["serve", "--no-such-option"],
        &["serve", "--bind", "127.0.0.1:80800"],
        &["serve", "--bind", "127.0.0.1:8o"],
        &["serve", "--bind", "127.0.0.1"],
        &["no-such-command"],
    ] {
        let done = run(arguments, b"").await;
        assert_eq!(done.code, Some(2), "{arguments:?}: {}", done.err);
        assert_eq!(done.text(), "", "{arguments:?}");
        assert!(!done.err.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_wrong_usage_for_every_command_and_nothing_is_sent() {
    for address in [
        "http://127.0.0.1:80800",
        "http://127.0.0.1:8o",
        ":99999/x",
        "127.0.0.1:-1",
        "http://[::1]x/",
        "http://a b/",
        "ftp://a/",
        "http://",
    ] {
        for command in ["listen", "send", "bench"] {
            let arguments = [command, address, "--token", "SECRET"];
            let done = run(&arguments, b"text\n").await;
            assert_eq!(done.code, Some(2), "{command} {address}: {}", done.err);
            let says = done.err.starts_with("bellwether: cannot connect to ");
            assert!(says && !done.err.contains("SECRET"), "{}", done.err);
        }
    }
}

#[tokio::test]
async fn help_and_version_are_no_failure() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["listen", "--help"],
        &["serve", "--version"],
    ] {
        let done = run(arguments, b"").await;
        assert_eq!(
            (done.code, done.err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_code_1() {
    for command in ["encode", "decode"] {
        let done = run(&[command, "no such file"], b"").await;
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert!(done.err.contains("no such file"), "{}", done.err);
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = run(&["serve", "--bind", &address], b"").await;
    assert_eq!(done.code, Some(1), "{}", done.err);
    assert!(done.err.contains(&address), "{}", done.err);
}

#[tokio::test]
async fn send_ends_without_a_word_when_nobody_reads_its_ids() {
    let answer = Answer::status(200).send("1").with_length();
    let server = ScriptedServer::new([answer]).repeat_last();
    let url = format!("http://{}", server.listen().await);
    let mut send = Running::start(&["send", &url, "--topic", "a"]);
    send.write(b"a\n").await;
    assert_eq!(send.line().await, "1");
    send.close_output();
    send.write(b"b\n").await;
    let (status, err) = send.end().await;
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

/// Whether the process has a handler for the signal. One that comes earlier ends it without ceremony.
#[cfg(target_os = "linux")]
fn catches(pid: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask & (1 << (signal - 1)) != 0
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_is_asked_to_stop_has_ended_as_asked() {
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        let mut serve = Running::start(&["serve", "--bind", "127.0.0.1:0"]);
        let first = serve.line().await;
        assert!(first.contains("http://127.0.0.1:"), "{first}");
        // The line says that it can be stopped now.
        assert!(catches(serve.pid(), number), "SIG{signal}");
        serve.signal(signal).await;
        let (status, err) = serve.end().await;
        assert_eq!((status.code(), err.as_str()), (Some(0), ""), "SIG{signal}");
    }
}

// Shells tell the end by a signal as 128 and its number.
#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_commands_that_wait_for_input() {
    use std::os::unix::process::ExitStatusExt as _;

    for (command, input, output) in [
        (
            "decode",
            &b"data: a\n\n"[..],
            r#"{"event":"message","data":"a","id":""}"#,
        ),
        ("encode", b"{\"data\":{\"text\":\"a\"}}\n", "data: a"),
    ] {
        let mut running = Running::start(&[command]);
        running.write(input).await;
        assert_eq!(running.line().await, output);
        running.signal("INT").await;
        let (status, err) = running.end().await;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        assert_eq!((code, err.as_str()), (Some(130), ""), "{command}");
    }
}
