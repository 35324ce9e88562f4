//! The example as the README starts it: two nodes, a broker, the page in a browser, and a node that is killed.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bellwether_testkit::{Browser, NatsServer, Program, or_skip};
use tokio::process::Command;

/// A node on this broker and port; `0` is any free one.
async fn node(broker: &str, port: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether-example-cluster"));
    command.arg(broker).env("PORT", port).env_remove("HOST");
    Program::start_command(command).await
}

/// Keeps a picture of the page where this variable names a folder.
const PICTURES: &str = "BELLWETHER_PICTURES";

#[tokio::test]
async fn the_readers_of_a_killed_node_go_over_to_the_other_and_miss_nothing() {
    let Some(nats) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let Some(browser) = or_skip(Browser::start().await) else {
        return;
    };
    let first = node(&nats.url(), "0").await;
    let mut second = node(&nats.url(), "0").await;
    let page = format!("{}/?nodes={},{}", first.url(), first.url(), second.url());
    let tab = browser.open(&page).await;
    let picture = async |name: &str| {
        if let Some(folder) = std::env::var_os(PICTURES) {
            let file = std::path::Path::new(&folder).join(format!("{name}.png"));
            tab.screenshot(file).await;
        }
    };
    // Every reader hears the bells of both nodes.
    tab.wait_until("readers.every((reader) => reader.last.size === 2 && reader.heard >= 20)")
        .await;
    picture("both").await;

    second.signal("KILL").await;
    second.wait_exit(Duration::from_secs(10)).await;
    tab.wait_until("readers.every((reader) => reader.card.dataset.node === '0')")
        .await;
    tab.wait_until("nodes[1].state === 'gone'").await;
    let heard = tab.eval("readers.map((reader) => reader.heard)").await;
    tab.wait_until(&format!(
        "readers.every((reader, i) => reader.heard >= {heard}[i] + 10)"
    ))
    .await;
    picture("killed").await;

    let port = second.addr().rsplit_once(':').unwrap().1.to_owned();
    let _again = node(&nats.url(), &port).await;
    tab.wait_until(
        "readers.every((reader) => reader.at === reader.home && reader.last.size === 3)",
    )
    .await;
    picture("back").await;
    let missed = tab.eval("readers.map((reader) => reader.missed)").await;
    let repeated = tab.eval("readers.map((reader) => reader.repeated)").await;
    assert_eq!((missed, repeated), ([0; 4].into(), [0; 4].into()));
    assert_eq!(tab.eval("readers[2].moves").await, 2);
    browser.quit().await;
}
