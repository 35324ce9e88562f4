//! `bellwether serve`: topics over HTTP, files, and the page that looks into them.

use std::time::Duration;

use bellwether_testkit::{Browser, Program, RawClient, or_skip};

use crate::support::{Running, command, run};

async fn serve(arguments: &[&str]) -> Program {
    let arguments = [&["serve"], arguments].concat();
    let mut command = command(&arguments);
    command.env_remove("HOST");
    Program::start_command(command).await
}

#[tokio::test]
async fn what_is_sent_to_a_topic_is_listened_to_and_resumed() {
    let hub = serve(&[]).await;
    let url = format!("{}/events?topic=news", hub.url());
    let mut listen = Running::start(&["listen", &url, "--count", "2"]);
    listen.news("connected").await;
    let sent = run(&["send", hub.url(), "-t", "news"], b"a\nb\n").await;
    assert_eq!((sent.code, sent.err.as_str()), (Some(0), ""));
    let ids: Vec<&str> = sent.text().lines().collect();
    let event = |data: &str, id| format!(r#"{{"event":"message","data":"{data}","id":"{id}"}}"#);
    assert_eq!(listen.line().await, event("a", ids[0]));
    assert_eq!(listen.line().await, event("b", ids[1]));

    let resumed = ["listen", &url, "--count=1", "--last-event-id", ids[0]];
    let done = run(&resumed, b"").await;
    assert_eq!(done.text(), format!("{}\n", event("b", ids[1])));
    let done = run(&["listen", &url, "--count=2", "--since-start"], b"").await;
    assert_eq!(done.text().lines().count(), 2);
    assert!(!done.err.contains("gap"), "{}", done.err);
}

#[tokio::test]
async fn refusals_have_a_reason() {
    let hub = serve(&[]).await;
    let sent = run(&["send", hub.url(), "-d", "a"], b"").await;
    assert_eq!(sent.code, Some(1));
    assert!(
        sent.err.contains("line 1: refused with status 400"),
        "{}",
        sent.err
    );
    let site = [
        "send",
        hub.url(),
        "-t",
        "a",
        "-d",
        "a",
        "-H",
        "sec-fetch-site: cross-site",
    ];
    let sent = run(&site, b"").await;
    assert!(sent.err.contains("refused with status 403"), "{}", sent.err);
}

async fn body(hub: &Program, path: &str) -> String {
    let mut client = RawClient::connect(hub.addr()).await;
    client.get(path, &[]).await;
    assert_eq!(client.read_head().await.status, 200, "{path}");
    // Up to the end of the body; the connection stays open.
    let mut body = Vec::new();
    while let Ok(chunk) = client.read_body_chunk().await {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn the_inspector_makes_room_for_an_index_of_the_files() {
    let folder = std::env::temp_dir().join(format!("bellwether-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "the file").unwrap();
    let hub = serve(&[folder.to_str().unwrap()]).await;
    assert_eq!(body(&hub, "/a.txt").await, "the file");
    assert!(body(&hub, "/").await.contains("Bellwether inspector"));

    std::fs::write(folder.join("index.html"), "the index").unwrap();
    let hub = serve(&[folder.to_str().unwrap()]).await;
    assert_eq!(body(&hub, "/").await, "the index");
    assert!(
        body(&hub, "/inspector")
            .await
            .contains("Bellwether inspector")
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_inspector_shows_what_it_publishes_and_resumes() {
    let Some(browser) = or_skip(Browser::start().await) else {
        return;
    };
    let mut hub = serve(&[]).await;
    let tab = browser.open(hub.url()).await;
    tab.wait_until("document.getElementById('state').className === 'open'")
        .await;
    tab.eval("document.getElementById('name').value = 'x'; document.querySelector('#publish button').click()").await;
    let rows = "[...document.querySelectorAll('#events tr')].filter(r => r.cells[1].textContent !== 'bellwether.open').map(r => r.cells[1].textContent + ' ' + r.cells[3].textContent).join()";
    tab.wait_until(&format!("{rows} === 'x {{\"hello\":\"world\"}}'"))
        .await;
    tab.wait_until("document.getElementById('raw').textContent.includes('event: x\\n')")
        .await;
    tab.eval("document.getElementById('clear').click(); document.getElementById('start').click()")
        .await;
    tab.wait_until(&format!("{rows}.startsWith('x ')")).await;
    hub.terminate().await;
    tab.wait_until("document.getElementById('state').className === 'failed'")
        .await;
    assert!(hub.wait_exit(Duration::from_secs(20)).await.success());
    browser.quit().await;
}

/// Publishes by hand; status and body.
async fn publish(hub: &Program, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut client = RawClient::connect(hub.addr()).await;
    let mut request = format!(
        "POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    client.send(format!("{request}\r\n{body}")).await;
    let status = client.read_head().await.status;
    let mut body = Vec::new();
    while let Ok(chunk) = client.read_body_chunk().await {
        body.extend_from_slice(&chunk);
    }
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn the_same_idempotency_key_publishes_once() {
    let hub = serve(&[]).await;
    let key = [("Idempotency-Key", "k1")];
    let (status, first) = publish(&hub, &key, "a").await;
    assert_eq!(
        (status, publish(&hub, &key, "a").await.1),
        (200, first.clone())
    );
    let (_, other) = publish(&hub, &[("Idempotency-Key", "k2")], "a").await;
    let empty = [("Idempotency-Key", "")];
    let (_, first) = publish(&hub, &empty, "a").await;
    let (_, second) = publish(&hub, &empty, "a").await;
    assert_ne!(first, second, "an empty key is no key");
    assert_ne!(other, first);
    let long = "k".repeat(256);
    let (status, reason) = publish(&hub, &[("Idempotency-Key", &long)], "a").await;
    assert_eq!(status, 400);
    assert!(reason.contains("at most 255"), "{reason}");
}

#[tokio::test]
async fn a_hub_is_ready_from_its_first_line_on() {
    let hub = serve(&["--broker", "memory:"]).await;
    assert_eq!(body(&hub, "/ready").await, "ready");
}

#[tokio::test]
async fn a_broker_of_another_form_is_wrong_usage() {
    let done = run(&["serve", "--broker", "kafka://:secret@a"], b"").await;
    assert_eq!(done.code, Some(2));
    for form in ["memory:", "sqlite:FILE", "redis://", "nats://"] {
        assert!(done.err.contains(form), "{}", done.err);
    }
    assert!(!done.err.contains("secret"), "{}", done.err);
}

#[cfg(all(feature = "sqlite", feature = "redis", feature = "nats"))]
#[tokio::test]
async fn a_broker_that_cannot_be_used_at_the_start_is_a_failure_with_its_cause() {
    // Nobody listens on port 1, and no file lies in a folder that is not there.
    for (broker, name, cause) in [
        ("redis://:secret@127.0.0.1:1", "Redis", "127.0.0.1:1"),
        ("nats://u:secret@127.0.0.1:1", "NATS", "127.0.0.1:1"),
        ("sqlite:/no/such/folder/log.db", "SQLite", "/no/such/folder"),
    ] {
        let done = run(&["serve", "--broker", broker], b"").await;
        assert_eq!(done.code, Some(1), "{}", done.err);
        let what = format!("cannot use {name} as the broker: ");
        assert!(done.err.contains(&what), "{}", done.err);
        assert!(done.err.contains(cause), "{}", done.err);
        assert!(!done.err.contains("secret"), "{}", done.err);
    }
}
