//! `cargo xtask world`: clients and proxies that other people wrote, against a real Bellwether server.
#![allow(
    clippy::print_stdout,
    reason = "a command line program talks on its output"
)]

mod clients;
mod listen;
mod minimal;
mod options;
mod payload;
mod proxies;
mod server;
mod table;
mod tcp_proxy;

use std::process::ExitCode;

use options::{Command, Options};

const HELP: &str = "\
cargo xtask world [clients | proxies] [OPTIONS]

  clients       about twenty clients: what each hands to its user, for docs/guide/clients.md
  proxies       six proxies between a client and the server, for docs/guide/proxies.md

  --short       few of them, within two minutes; installs nothing that is there already
  --only NAME   only those whose name contains NAME; may be given more than once
  --write       write the table into the docs
  --check       fail if the table in the docs has not each row of this run, versions aside
  --show        print each event that a client hands over

Without a word both run. The status is 1 if a client got less from Bellwether than from a minimal server,
or if `--check` finds a difference.";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&words) {
        Ok(options) => options,
        Err(error) => {
            println!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let is_good = match &options.command {
        Command::Help => {
            println!("{HELP}");
            true
        }
        // The three that this program starts of itself, as children that can be killed.
        Command::Serve => server::run().await,
        Command::Origin => proxies::origin::run().await,
        Command::Listen(url) => listen::run(url).await,
        Command::Clients => clients::run(&options).await,
        Command::Proxies => proxies::run(&options).await,
        Command::All => clients::run(&options).await & proxies::run(&options).await,
    };
    match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
