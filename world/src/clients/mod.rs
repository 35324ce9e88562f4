//! Clients that other people wrote: what each hands to its user, and how it ends.

mod driver;
mod install;
mod judge;
mod list;
mod scenario;
mod side;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::options::Options;
use crate::table::Table;
use list::{CLIENTS, Client, Kind};
use scenario::{Scenario, Seen};
use side::Which;

/// The page with the tables.
const DOCS: &str = "docs/guide/clients.md";

/// How many clients run at a time: most of them wait most of the time.
const AT_ONCE: usize = 6;

/// The observations of a client, by scenario and server.
type All = BTreeMap<(Scenario, bool), Seen>;

/// Tries the clients; `true` if none got less from Bellwether than from a minimal server.
pub(crate) async fn run(options: &Options) -> bool {
    let wanted =
        |client: &&Client| options.wants(client.name) && (client.is_short || !options.is_short);
    let mut clients: Vec<Client> = CLIENTS.iter().filter(wanted).copied().collect();
    if let Err(error) = install::prepare(&clients) {
        println!("{error}");
        return false;
    }
    clients.retain(|client| match client.command("") {
        Ok(_) => true,
        Err(reason) => {
            println!("left out: {}: {reason}", client.name);
            false
        }
    });
    let seen = try_all(&clients, options).await;
    let is_models = |client: &Client| matches!(client.kind, Kind::OpenAi | Kind::Anthropic);
    let (models, streams): (Vec<_>, Vec<_>) = clients
        .iter()
        .zip(&seen)
        .partition(|(client, _)| is_models(client));
    let (streams, is_good) = streams_table(&streams);
    let (models, is_good_too) = models_table(&models);
    let is_published = streams.publish(DOCS, "clients", options.docs)
        & models.publish(DOCS, "models", options.docs);
    is_good & is_good_too & is_published
}

/// Runs every scenario of every client, a bounded number at a time.
async fn try_all(clients: &[Client], options: &Options) -> Vec<All> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, client) in clients.iter().copied().enumerate() {
        for which in [Which::Bellwether, Which::Minimal] {
            for scenario in Scenario::of(client.kind, which) {
                let (permits, is_shown) = (Arc::clone(&permits), options.is_shown);
                running.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let seen = scenario.run(&client, which, is_shown).await;
                    (number, client, *scenario, which, seen)
                });
            }
        }
    }
    let mut all: Vec<All> = clients.iter().map(|_| All::new()).collect();
    while let Some(outcome) = running.join_next().await {
        // A server that does not start ends the trial; its cell stays empty, which `--check` finds.
        let Ok((number, client, scenario, which, seen)) = outcome else {
            println!("a trial failed");
            continue;
        };
        match seen {
            Ok(seen) => {
                if options.is_shown {
                    show(&client, scenario, which, &seen);
                }
                all[number].insert((scenario, which == Which::Minimal), seen);
            }
            Err(error) => println!("{} in {scenario:?}: {error}", client.name),
        }
    }
    all
}

fn show(client: &Client, scenario: Scenario, which: Which, seen: &Seen) {
    println!(
        "{} {scenario:?} {which:?}: {:?}",
        client.name, seen.heard.end
    );
    for event in &seen.heard.events {
        println!("  {:?} {:?} {:?}", event.id, event.event, event.data);
    }
    for request in &seen.requests {
        println!("  {:?}", request.head);
    }
}

/// The cell of a scenario's observation; empty if it was not tried.
fn cell(seen: &All, scenario: Scenario, word: fn(&Seen) -> String) -> String {
    seen.get(&(scenario, false)).map(word).unwrap_or_default()
}

/// What a client got from both servers.
fn compared(seen: &All) -> (String, bool) {
    let pairs = seen.iter().filter_map(|((scenario, is_minimal), theirs)| {
        let ours = seen.get(&(*scenario, false)).filter(|_| *is_minimal)?;
        let counts = match scenario {
            Scenario::Chat => (ours.heard.events.len(), theirs.heard.events.len()),
            _ => (ours.count(), theirs.count()),
        };
        Some((*scenario, counts.0, counts.1))
    });
    judge::beside_minimal(&pairs.collect::<Vec<_>>())
}

/// Why a client may get less than from the minimal server, if it may.
fn is_excused(client: &Client) -> bool {
    if !client.excuse.is_empty() {
        println!("{} may get less: {}", client.name, client.excuse);
    }
    !client.excuse.is_empty()
}

fn name(client: &Client) -> String {
    let helped = match client.kind {
        Kind::Helped => ", [with help](../../".to_owned() + &client.file() + ")",
        _ => String::new(),
    };
    format!("{} {}{helped}", client.name, client.version())
}

fn streams_table(clients: &[(&Client, &All)]) -> (Table, bool) {
    let mut table = Table::new([
        "client",
        "ids",
        "lines",
        "scripts",
        "keep-alive",
        "7 s of silence",
        "`retry:`",
        "gap",
        "error",
        "finish, 204",
        "drain",
        "cut within an event",
        "kill and restart",
        "beside a minimal server",
    ]);
    let mut is_good = true;
    for (client, seen) in clients {
        let (beside, is_enough) = compared(seen);
        is_good &= is_enough || is_excused(client);
        let at = |scenario, word| cell(seen, scenario, word);
        table.row([
            name(client),
            at(Scenario::Plain, Seen::ids),
            at(Scenario::Plain, Seen::lines),
            at(Scenario::Plain, Seen::text),
            at(Scenario::KeepAlive, Seen::quiet),
            at(Scenario::Silence, Seen::quiet),
            at(Scenario::Retry, Seen::retry),
            at(Scenario::Gap, Seen::gap),
            at(Scenario::Error, Seen::error),
            at(Scenario::Finish, Seen::finish),
            at(Scenario::Drain, Seen::resumed),
            at(Scenario::Cut, Seen::resumed),
            at(Scenario::Restart, Seen::resumed),
            beside,
        ]);
    }
    (table, is_good)
}

fn models_table(clients: &[(&Client, &All)]) -> (Table, bool) {
    let mut table = Table::new([
        "SDK",
        "answer",
        "error on the way",
        "beside a minimal server",
    ]);
    let mut is_good = true;
    for (client, seen) in clients {
        let (beside, is_enough) = compared(seen);
        is_good &= is_enough || is_excused(client);
        table.row([
            name(client),
            cell(seen, Scenario::Chat, Seen::chat),
            cell(seen, Scenario::ChatError, Seen::chat_error),
            beside,
        ]);
    }
    (table, is_good)
}
