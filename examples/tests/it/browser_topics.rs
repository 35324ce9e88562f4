//! The pages that read topics, in a real browser: a chat over cut connections and restarts, the dashboard.

use std::time::Duration;

use bellwether_testkit::{Browser, Program, RawClient, Tab, example_path};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::broadcast::post;
use crate::browser::{browser, number};
use crate::started;

const LINES: &str = "[...document.querySelectorAll('#lines li:not(.waiting) .text')].map((line) => line.textContent)";
const HERE: &str = "[...document.querySelectorAll('#here .name')].map((name) => name.textContent)";
const STATE: &str = "document.getElementById('state').dataset.state";
const NOTES: &str = "document.querySelectorAll('#lines .note').length";

/// A proxy between a browser and a server, which can be cut.
struct Cable {
    address: String,
    is_whole: watch::Sender<bool>,
}

impl Cable {
    async fn to(server: &str) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (is_whole, watched) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut browser, _)) = listener.accept().await {
                let (server, mut watched) = (server.clone(), watched.clone());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let passed = tokio::io::copy_bidirectional(&mut browser, &mut server);
                    tokio::select! {
                        // A cut cable passes nothing on.
                        biased;
                        _ = watched.wait_for(|is_whole| !is_whole) => {}
                        _ = passed => {}
                    }
                });
            }
        });
        Self { address, is_whole }
    }
}

async fn restarted(program: &mut Program, name: &str) -> Program {
    let port = program.addr().rsplit_once(':').unwrap().1.to_owned();
    program.terminate().await;
    assert!(program.wait_exit(Duration::from_secs(20)).await.success());
    Program::start(example_path(name), &[("PORT", &port)]).await
}

async fn visit(browser: &Browser, address: &str, name: &str) -> Tab {
    let tab = browser.open(&format!("http://{address}/#{name}")).await;
    tab.wait_until(&format!("{STATE} == 'open'")).await;
    tab
}

/// Types a line and sends it.
async fn say(tab: &Tab, text: &str) {
    let typed = format!("document.getElementById('text').value = {}", json!(text));
    tab.eval(&typed).await;
    tab.eval("document.getElementById('say').requestSubmit()")
        .await;
}

async fn wait_for(tab: &Tab, list: &str, expected: &Value) {
    let expression = format!("JSON.stringify({list}) == JSON.stringify({expected})");
    tab.wait_until(&expression).await;
}

#[tokio::test]
async fn two_tabs_talk_and_see_who_is_here() {
    let Some(browser) = browser().await else {
        return;
    };
    let program = started("chat").await;
    let ada = visit(&browser, program.addr(), "Ada").await;
    // The second page enters with the form.
    let bob = browser.open(program.url()).await;
    bob.eval("document.getElementById('name').value = 'Bob'")
        .await;
    bob.eval("document.getElementById('door').requestSubmit()")
        .await;
    for tab in [&ada, &bob] {
        wait_for(tab, HERE, &json!(["Ada", "Bob"])).await;
    }
    say(&ada, "Hello, <b>Bob</b> & all").await;
    wait_for(&bob, LINES, &json!(["Hello, <b>Bob</b> & all"])).await;
    say(&bob, "Hello, Ada").await;
    let said = json!(["Hello, <b>Bob</b> & all", "Hello, Ada"]);
    for tab in [&ada, &bob] {
        wait_for(tab, LINES, &said).await;
        assert_eq!(
            tab.eval("document.querySelectorAll('.waiting').length")
                .await,
            0
        );
    }
    bob.close().await;
    wait_for(&ada, HERE, &json!(["Ada"])).await;
    browser.quit().await;
}

#[tokio::test]
async fn a_page_whose_connection_was_cut_gets_all_that_was_said_meanwhile_once() {
    let Some(browser) = browser().await else {
        return;
    };
    let program = started("chat").await;
    let cable = Cable::to(program.addr()).await;
    let ada = visit(&browser, &cable.address, "Ada").await;
    let mut bob = RawClient::connect(program.addr()).await;
    let mut said = Vec::new();
    for round in 0..2 {
        if round > 0 {
            cable.is_whole.send_replace(false);
            ada.wait_until(&format!("{STATE} == 'connecting'")).await;
            // A line that is sent without a connection waits in the page.
            say(&ada, "from afar").await;
        }
        for i in 0..20 {
            let text = format!("{round} {i}");
            let line = json!({ "name": "Bob", "text": text, "at": 0, "key": text });
            let (status, _) = post(&mut bob, "/room", line.to_string().as_bytes()).await;
            assert_eq!(status, 204);
            said.push(text);
        }
        if round > 0 {
            said.push("from afar".to_owned());
        }
        cable.is_whole.send_replace(true);
        wait_for(&ada, LINES, &json!(said)).await;
    }
    assert_eq!(number(&ada, NOTES).await, 0.0, "nothing was lost");
    browser.quit().await;
}

#[tokio::test]
async fn after_a_restart_the_page_is_told_of_the_gap_and_goes_on() {
    let Some(browser) = browser().await else {
        return;
    };
    let mut program = started("chat").await;
    let ada = visit(&browser, program.addr(), "Ada").await;
    say(&ada, "before").await;
    wait_for(&ada, LINES, &json!(["before"])).await;
    let _program = restarted(&mut program, "chat").await;
    ada.wait_until(&format!("{NOTES} == 1 && {STATE} == 'open'"))
        .await;
    say(&ada, "after").await;
    wait_for(&ada, LINES, &json!(["before", "after"])).await;
    wait_for(&ada, HERE, &json!(["Ada"])).await;
    browser.quit().await;
}

#[tokio::test]
async fn the_dashboard_shows_prices_as_they_come_also_after_a_restart() {
    // What the page shows; its script is a module, whose variables are not visible here.
    const COUNT: &str = "globalThis.count = (id) =>
        Number(document.getElementById(id).textContent.replaceAll(',', '')); null";
    const MADE: &str = "count('made')";
    const PRICES: &str =
        "[...document.querySelectorAll('.price')].map((price) => price.textContent)";
    let Some(browser) = browser().await else {
        return;
    };
    let mut program = started("dashboard").await;
    let tab = browser.open(program.url()).await;
    tab.eval(COUNT).await;
    tab.wait_until(&format!("{STATE} == 'open' && {MADE} > 240"))
        .await;
    assert_eq!(
        number(&tab, "document.querySelectorAll('.line[d]').length").await,
        12.0
    );
    let before = tab.eval(PRICES).await;
    tab.wait_until(&format!(
        "{PRICES}.every((price, i) => price != {before}[i])"
    ))
    .await;
    // Each is the newest number, or was replaced by it.
    tab.wait_until("count('made') == count('read') + count('skipped')")
        .await;

    let _program = restarted(&mut program, "dashboard").await;
    let made = number(&tab, MADE).await;
    tab.wait_until(&format!("{STATE} == 'open' && {MADE} > {made} + 240"))
        .await;
    assert_eq!(
        tab.eval("[...document.querySelectorAll('.line')].every((line) => line.getAttribute('d').split('L').length <= 202)")
            .await,
        true
    );
    browser.quit().await;
}
