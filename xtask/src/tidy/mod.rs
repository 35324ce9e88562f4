//! `cargo xtask tidy`: the rules of this repository that no other tool checks. They run as tests too.

mod arrows;
mod edges;
mod findings;
mod prose;
mod text;
mod tree;
mod types;

use std::process::ExitCode;

/// One rule: its name, and a function that lists what breaks it.
type Rule = (&'static str, fn() -> Vec<String>);

const RULES: [Rule; 12] = [
    (
        "crates import only what ARCHITECTURE.md allows",
        edges::check,
    ),
    (
        "folders of bellwether import only what its sheet says, downward",
        arrows::check,
    ),
    ("every Rust file opens with its docs", text::check_heads),
    ("no Rust file passes 800 lines", text::check_lengths),
    ("nothing is left to be done later", text::check_markers),
    ("unsafe code is in one module", text::check_unsafe),
    (
        "no path or package mirror of a machine is named",
        text::check_places,
    ),
    ("lockfiles name no host of their own", text::check_lockfiles),
    ("every finding can be run and has its head", findings::check),
    ("no page makes its reader stumble", prose::check),
    ("a type name is defined once in a crate", types::check),
    ("the default build stays small", tree::check),
];

pub(crate) fn command() -> ExitCode {
    if check() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Checks every rule, prints what breaks it, and returns whether nothing does.
pub(crate) fn check() -> bool {
    println!("\n== tidy");
    let mut is_tidy = true;
    for (name, rule) in RULES {
        let broken = rule();
        is_tidy &= broken.is_empty();
        println!(
            "{}: {name}",
            if broken.is_empty() { "ok" } else { "BROKEN" }
        );
        for line in broken {
            println!("  {line}");
        }
    }
    for (path, lines) in text::long_files() {
        println!("note: {path} has {lines} lines: look for a seam");
    }
    println!("the default build has {} packages", tree::size());
    println!("-- tidy: {}", if is_tidy { "done" } else { "FAILED" });
    is_tidy
}
