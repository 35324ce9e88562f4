//! `cargo xtask`: set-up, tests, lints and benches of this workspace, one word each.
#![allow(
    clippy::print_stdout,
    reason = "a command line program prints its results"
)]

mod api;
mod bench;
mod ci;
mod deny;
mod licence;
mod packages;
mod picture;
mod run;
mod tally;
mod test;
mod tidy;
mod tools;
mod workspace;
mod world;

use std::process::ExitCode;

const MENU: &str = "\
cargo xtask COMMAND

  test    find or install the tools that tests need, then run every test
  ci      everything that a change must pass: test, format, clippy, docs, packages, api, a short world, dependencies, tidy
  tidy    the rules of this repository that no other tool knows: imports, file heads, lengths
  packages what would be published: every crate packs, and compiles from its archive
  api     write the public items of each library to docs/api; `ci` compares them
  bench   measure against the peers; what follows goes to the benches, `bench --help` says more
  world   other people's clients and proxies against a real server; `world --help` says more
  picture what `bellwether listen` looks like, from a real terminal (needs tmux), to docs/pictures

`test` and `ci` end with one line, `N passed, N failed`. In `ci` each check beside the tests counts as one.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("test") => test::command(),
        Some("ci") => ci::command(),
        Some("tidy") => tidy::command(),
        Some("api") => api::command(),
        Some("packages") => packages::command(),
        Some("bench") => bench::command(&arguments[1..]),
        Some("world") => world::command(&arguments[1..]),
        Some("picture") => picture::command(),
        None | Some("help" | "-h" | "--help") => {
            println!("{MENU}");
            ExitCode::SUCCESS
        }
        Some(unknown) => {
            println!("there is no command {unknown:?}\n\n{MENU}");
            ExitCode::from(2)
        }
    }
}
