//! The browser reads a stream that a bare socket writes, byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_testkit::{Browser, Tab, or_skip};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PAGE: &str = "<!doctype html><title>count</title><script>\
    let seen = [];\
    const source = new EventSource('/events');\
    source.onmessage = (event) => seen.push(event.data);\
    </script>";

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
    data: one\n\ndata: two\n\ndata: three\n\n";

/// Serves the page and its events until the test's runtime ends.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            open.push(tokio::spawn(answer(stream)));
        }
    });
    addr
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(&mut stream).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    if request.starts_with("GET /events ") {
        stream.write_all(EVENTS.as_bytes()).await?;
        // The stream stays open: a browser would reconnect and count twice.
        std::future::pending::<()>().await;
    }
    let length = PAGE.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
         Content-Security-Policy: script-src 'unsafe-inline'\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{PAGE}").as_bytes()).await
}

async fn open(browser: &Browser) -> Tab {
    let addr = serve().await;
    browser.open(&format!("http://{addr}/")).await
}

#[tokio::test]
async fn a_page_counts_the_messages_of_a_stream() {
    let Some(browser) = or_skip(Browser::start().await) else {
        return;
    };
    let tab = open(&browser).await;
    tab.wait_until("seen.length == 3").await;
    assert_eq!(tab.eval("seen").await, json!(["one", "two", "three"]));
    assert_eq!(
        tab.eval("Promise.resolve(source.readyState)").await,
        json!(1)
    );
    tab.close().await;
    browser.quit().await;
}

#[tokio::test]
#[should_panic(expected = "the browser could not wait: waited 50 ms for seen.length > 3")]
async fn a_condition_that_never_holds_is_reported_with_its_value() {
    let Some(browser) = or_skip(Browser::start().await) else {
        panic!("the browser could not wait: waited 50 ms for seen.length > 3, without a browser");
    };
    let tab = open(&browser).await;
    tab.wait_until_within("seen.length > 3", Duration::from_millis(50))
        .await;
}
