//! The example with a page, in a real browser: it updates, it comes back, tabs close, the server stops.

use std::time::Duration;

use bellwether_testkit::{Program, example_path};

use crate::browser::{READ, Tap, browser, number};
use crate::started;

const MESSAGES: &str = "Number(document.getElementById('messages').textContent)";
const LATEST: &str = "document.getElementById('latest').textContent";
const STATE: &str = "document.getElementById('state').dataset.state";
const RECONNECTS: &str = "Number(document.getElementById('reconnects').textContent)";

#[tokio::test]
async fn the_page_shows_each_message_as_it_comes() {
    let Some(browser) = browser().await else {
        return;
    };
    let program = started("server_sent_events").await;
    let tab = browser.open(program.url()).await;
    for i in 1..=3 {
        tab.wait_until(&format!("{LATEST} == 'Hello World {i}'"))
            .await;
        tab.wait_until(&format!("{MESSAGES} >= {i}")).await;
    }
    let lines = "[...document.querySelectorAll('#log .message')].map((line) => line.textContent)";
    let newest_first = tab.eval(lines).await;
    let newest_first = newest_first.as_array().expect("a list");
    for (line, i) in newest_first.iter().rev().zip(1..) {
        assert_eq!(line.as_str(), Some(format!("Hello World {i}").as_str()));
    }
    assert!(newest_first.len() >= 3);
    browser.quit().await;
}

#[tokio::test]
async fn the_page_comes_back_by_itself_when_the_server_is_started_again() {
    let Some(browser) = browser().await else {
        return;
    };
    let mut program = started("server_sent_events").await;
    let tab = browser.open(program.url()).await;
    tab.wait_until(&format!("{MESSAGES} >= 2")).await;
    let port = program
        .addr()
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();

    program.terminate().await;
    assert!(program.wait_exit(Duration::from_secs(20)).await.success());
    tab.wait_until(&format!("{STATE} == 'connecting'")).await;
    let before = number(&tab, MESSAGES).await;

    let _program = Program::start(example_path("server_sent_events"), &[("PORT", &port)]).await;
    tab.wait_until(&format!("{STATE} == 'open' && {RECONNECTS} == 1"))
        .await;
    tab.wait_until(&format!("{MESSAGES} >= {before} + 2")).await;
    browser.quit().await;
}

#[tokio::test]
async fn the_server_notices_a_closed_tab() {
    let Some(browser) = browser().await else {
        return;
    };
    let mut program = started("server_sent_events").await;
    let closed = browser.open(program.url()).await;
    let left = browser.open(program.url()).await;
    closed.wait_until(&format!("{MESSAGES} >= 1")).await;
    left.wait_until(&format!("{MESSAGES} >= 1")).await;

    closed.close().await;
    program.wait_for_line("The request is disconnected!").await;
    // The other page is none of its business.
    let before = number(&left, MESSAGES).await;
    left.wait_until(&format!("{MESSAGES} > {before} && {STATE} == 'open'"))
        .await;
    left.eval("location.replace('about:blank')").await;
    program.wait_for_line("The request is disconnected!").await;
    browser.quit().await;
}

#[tokio::test]
async fn a_stop_with_ten_open_pages_ends_every_stream_after_a_whole_event() {
    // Six connections to one server are all that one browser makes: its pages and one reader.
    const BROWSERS: usize = 2;
    const PAGES: usize = 5;
    const STREAMS: usize = BROWSERS * (PAGES + 1);
    // The example leaves the default: what ignores the stop is cut after 15 s.
    const GRACE: Duration = Duration::from_secs(15);

    let mut program = started("server_sent_events").await;
    let tap = Tap::before(program.addr()).await;
    let url = format!("http://{}", tap.address);
    let (mut browsers, mut tabs) = (Vec::new(), Vec::new());
    for _ in 0..BROWSERS {
        let Some(browser) = browser().await else {
            return;
        };
        for _ in 0..PAGES {
            let tab = browser.open(&url).await;
            tab.wait_until(&format!("{MESSAGES} >= 1")).await;
            tabs.push(tab);
        }
        browsers.push(browser);
    }
    for readers in tabs.chunks(PAGES) {
        readers[0].eval(READ).await;
        readers[0].wait_until("read.raw").await;
    }

    program.terminate().await;
    let status = program.wait_exit(GRACE).await;
    assert_eq!(status.code(), Some(0));
    program
        .wait_for_line(&format!("done: {STREAMS} ended, 0 cut"))
        .await;

    for readers in tabs.chunks(PAGES) {
        readers[0].wait_until("read.end").await;
        assert_eq!(readers[0].eval("read.end").await, "clean");
        let raw = readers[0].eval("read.raw").await;
        let raw = raw.as_str().expect("text");
        let (events, farewell) = raw
            .rsplit_once("\n\n")
            .expect("an event before the farewell");
        let events = events.trim_start_matches(|c: char| c != '\n').trim_start();
        assert!(farewell.starts_with("retry: "), "{raw:?}");
        let whole = |event: &str| event.starts_with("data: {") && event.ends_with('}');
        assert!(events.split("\n\n").all(whole), "{raw:?}");
    }
    for tab in &tabs {
        tab.wait_until(&format!("{STATE} == 'connecting'")).await;
    }
    let streams = tap.streams();
    assert_eq!(streams.len(), STREAMS);
    for stream in streams {
        let last = stream.rsplit_once("retry: ").map(|(_, last)| last);
        let end = last.map(|last| last.trim_start_matches(|c: char| c.is_ascii_digit()));
        assert_eq!(end, Some("\n\r\n0\r\n\r\n"), "{stream:?}");
    }
}
