//! `cargo xtask ci`: everything that a change must pass, in the order in which failures are cheapest to read.

use std::process::ExitCode;
use std::time::Instant;

use crate::run::Step;
use crate::tally::Tally;
use crate::test::EVERYTHING;
use crate::{api, deny, packages, test, tidy, tools, workspace, world};

pub(crate) fn command() -> ExitCode {
    let started = Instant::now();
    let mut tally = Tally::default();

    // First, because every later cargo command would rewrite the lockfile.
    let lockfile = Step::cargo("lockfile", &["fetch", "--locked"]).run();
    tally.add_check(
        "lockfile: Cargo.lock does not fit the manifests",
        lockfile.is_success,
    );

    if !test::run(&mut tally) {
        tally.add_check("tests: a tool is missing", false);
    }
    if tools::has_cargo_command("fmt") {
        let format = Step::cargo("format", &["fmt", "--all", "--", "--check"]).run();
        tally.add_check("format: run `cargo fmt --all`", format.is_success);
    } else {
        tally.add_skip("rustfmt is not installed");
    }
    if tools::has_cargo_command("clippy") {
        clippy(&mut tally);
    } else {
        tally.add_skip("clippy is not installed");
    }
    // Libraries only: a binary of a library's name would write into the same folder.
    let docs = Step::cargo("docs", &["doc", "--no-deps", "--lib"])
        .args(&EVERYTHING.map(str::to_owned))
        .env("RUSTDOCFLAGS", "-D warnings");
    tally.add_check("docs", docs.run().is_success);
    packages::check(&mut tally);
    api::check(&mut tally);
    tally.add_check("world", world::check());
    tally.add_check("dependencies", deny::check());
    tally.add_check("tidy", tidy::check());

    println!(
        "\nall steps together: {:.0} s",
        started.elapsed().as_secs_f32()
    );
    tally.close()
}

/// Lints each package by itself.
///
/// A run over the whole workspace unites the features that its packages ask for, and so hides a
/// package that uses a feature which only its neighbours switch on.
fn clippy(tally: &mut Tally) {
    for package in workspace::packages() {
        let name = format!("clippy {}", package.name);
        let arguments = [
            "clippy",
            "-p",
            &package.name,
            "--all-targets",
            "--all-features",
        ];
        let deny = ["--", "-D", "warnings"].map(str::to_owned);
        let clippy = Step::cargo(name, &arguments).args(&deny).run();
        tally.add_check(&clippy.name, clippy.is_success);
    }
}
