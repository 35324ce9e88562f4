//! The client for browsers, `clients/js`: its own tests, and its tabs in a real browser.

use std::path::{Path, PathBuf};

use bellwether_testkit::{Browser, Program, Tab, or_skip};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::command;

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/js")
}

/// Runs npm in the package; its output, which ends with the summary of the tests.
async fn npm(arguments: &[&str]) -> Result<String, String> {
    let mut npm = Command::new("npm");
    npm.args(arguments)
        .current_dir(package())
        .env("BELLWETHER_BIN", env!("CARGO_BIN_EXE_bellwether"))
        // The program is there: a test that does not find it fails.
        .env("BELLWETHER_REQUIRE_TOOLS", "1");
    let done = npm
        .output()
        .await
        .map_err(|error| format!("could not run npm: {error}"))?;
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if done.status.success() {
        Ok(said)
    } else {
        Err(format!("npm {arguments:?} failed:\n{said}"))
    }
}

#[tokio::test]
async fn the_package_passes_its_own_tests() {
    let installed = npm(&["ci", "--no-audit", "--no-fund"]).await;
    if or_skip(installed).is_none() {
        return;
    }
    let said = npm(&["test"]).await.unwrap_or_else(|said| panic!("{said}"));
    let line = |name: &str| {
        let found = said.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("no line with {name:?} in:\n{said}"))
    };
    #[expect(
        clippy::print_stdout,
        reason = "the report of the tests shows how many there were"
    )]
    {
        println!("{}, {}", line("pass "), line("fail "));
    }
}

/// A page whose tabs share one connection, and one that publishes numbers until its tab closes.
const FILES: [(&str, &str); 4] = [
    (
        "index.html",
        r#"<!doctype html><title>reader</title><script type="module" src="reader.js"></script>"#,
    ),
    (
        "reader.js",
        r#"import { connect } from "./bellwether-client.js";
           globalThis.asked = 0;
           globalThis.read = [];
           globalThis.told = [];
           const counted = (...request) => (asked++, fetch(...request));
           globalThis.stream = connect("/events?topic=numbers", { shared: "numbers", fetch: counted });
           stream.on("message", ({ data }) => read.push(Number(data)));
           for (const name of ["open", "gap", "failed", "end"]) stream.when(name, () => told.push(name));"#,
    ),
    (
        "publisher.html",
        r#"<!doctype html><title>publisher</title><script type="module" src="publisher.js"></script>"#,
    ),
    (
        "publisher.js",
        r#"for (let number = 1; ; number++) {
             await fetch("/publish?topic=numbers", { method: "POST", body: String(number) });
           }"#,
    ),
];

/// A server of that page, in a folder of its own.
async fn site(name: &str) -> Program {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (file, text) in FILES {
        std::fs::write(folder.join(file), text).unwrap();
    }
    // The package's tests prove that it is what the sources give.
    let built =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chat/bellwether-client.js");
    std::fs::copy(built, folder.join("bellwether-client.js")).unwrap();
    let mut serve = command(&["serve", folder.to_str().unwrap()]);
    serve.env_remove("HOST");
    Program::start_command(serve).await
}

/// Opens a reader and waits until it has some numbers.
async fn reader(browser: &Browser, server: &Program) -> Tab {
    let tab = browser.open(server.url()).await;
    reads_on(&tab).await;
    tab
}

/// Waits for 50 further numbers, and checks that all that the tab has read follow each other.
async fn reads_on(tab: &Tab) {
    tab.wait_until("globalThis.read").await;
    let before = tab.eval("read.length").await;
    tab.wait_until(&format!("read.length >= {before} + 50"))
        .await;
    let wrong = "read.filter((number, at) => number !== read[0] + at)";
    assert_eq!(
        tab.eval(wrong).await,
        json!([]),
        "read {}",
        tab.eval("read").await
    );
    let told = tab.eval("told.filter((name) => name !== 'open')").await;
    assert_eq!(told, json!([]));
}

async fn asked(tab: &Tab) -> Value {
    tab.eval("asked").await
}

#[tokio::test]
async fn tabs_share_one_connection_and_miss_nothing_when_the_leading_tab_goes() {
    let Some(browser) = or_skip(Browser::start().await) else {
        return;
    };
    let server = site("js_client_tabs").await;
    let publisher = format!("{}/publisher.html", server.url());
    let _publisher = browser.open(&publisher).await;
    let first = reader(&browser, &server).await;
    let second = reader(&browser, &server).await;
    let third = reader(&browser, &server).await;
    assert_eq!(asked(&first).await, 1);
    assert_eq!(asked(&second).await, 0);

    // One that is closed, as a reader closes it.
    first.close().await;
    reads_on(&second).await;
    reads_on(&third).await;
    assert_eq!(
        (asked(&second).await, asked(&third).await),
        (json!(1), json!(0))
    );
    let fourth = reader(&browser, &server).await;

    // One whose process ends from one moment to the next.
    second.crash().await;
    reads_on(&third).await;
    reads_on(&fourth).await;
    assert_eq!(
        (asked(&third).await, asked(&fourth).await),
        (json!(1), json!(0))
    );

    // One that leaves the stream and stays.
    third.eval("stream.close()").await;
    reads_on(&fourth).await;
    assert_eq!(asked(&fourth).await, 1);
    let state = "[stream.state, told.at(-1)]";
    assert_eq!(third.eval(state).await, json!(["closed", "end"]));
    browser.quit().await;
}
