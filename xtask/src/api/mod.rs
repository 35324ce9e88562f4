//! `cargo xtask api`: the public items of each published library as text, so that a change of the API shows in a diff.
//!
//! The text is read from the sources by `syn`: it is the same on every machine and with every stable toolchain, which
//! rustdoc's JSON is not. What macros of a crate make cannot be read in this way. The definitions of these macros, without
//! the bodies of functions, and their uses stand at the end of the text instead.

mod foreign;
mod listing;
mod macros;
mod names;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::tally::Tally;
use crate::workspace;
use listing::Api;
use names::Names;
use sources::Module;

/// Where the texts stand.
const FOLDER: &str = "docs/api";

/// Writes the texts.
pub(crate) fn command() -> ExitCode {
    let mut used = BTreeMap::new();
    for (path, api) in apis() {
        if let Err(error) = fs::write(&path, &api.text) {
            println!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("wrote {}", path.display());
        collect(&mut used, &api);
    }
    let problems = foreign::problems(&foreign_text(), &used);
    for problem in &problems {
        println!("{problem}");
    }
    match problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Compares the texts with the sources.
pub(crate) fn check(tally: &mut Tally) {
    println!("\n== api");
    let problems = problems();
    for problem in &problems {
        println!("{problem}");
    }
    let name = "api: see what changed by `cargo xtask api` and `git diff docs/api`";
    tally.add_check(name, problems.is_empty());
}

fn problems() -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeMap::new();
    for (path, api) in apis() {
        let written = fs::read_to_string(&path).unwrap_or_default();
        if let Some(change) = first_change(&written, &api.text) {
            problems.push(format!("{}: {change}", path.display()));
        }
        collect(&mut used, &api);
    }
    problems.extend(foreign::problems(&foreign_text(), &used));
    problems
}

/// The API of each library that is published, and the file for it.
fn apis() -> Vec<(PathBuf, Api)> {
    let published = workspace::packages().into_iter();
    let published = published.filter(|package| package.is_published);
    let family: BTreeSet<String> = workspace::packages()
        .iter()
        .map(|package| package.name.replace('-', "_"))
        .collect();
    published
        .filter_map(|package| {
            let sources = workspace::root().join("crates").join(&package.name);
            let sources = sources.join("src");
            // A program has no API.
            let root = Module::load(&sources)?;
            let others = package.dependencies.iter();
            let others = others.map(|dependency| dependency.name.replace('-', "_"));
            let names = Names::new(&root, others.collect());
            let api = listing::list(&package.name, &names, &family);
            let path = workspace::root().join(FOLDER);
            Some((path.join(format!("{}.txt", package.name)), api))
        })
        .collect()
}

fn collect(used: &mut BTreeMap<String, BTreeSet<String>>, api: &Api) {
    for foreign in &api.foreign {
        let crates = used.entry(foreign.clone()).or_default();
        crates.insert(api.name.clone());
    }
}

fn foreign_text() -> String {
    let path = workspace::root().join(FOLDER).join("foreign.md");
    fs::read_to_string(path).unwrap_or_default()
}

/// The first line that differs, as the file has it and as the sources have it.
fn first_change(written: &str, found: &str) -> Option<String> {
    if written == found {
        return None;
    }
    let mut both = written.lines().zip(found.lines()).zip(1..);
    let differs = both.find(|((written, found), _)| written != found);
    Some(match differs {
        Some(((written, found), line)) => {
            format!("line {line} is `{written}`, and the sources say `{found}`")
        }
        None => "the sources have more lines or fewer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_api_is_that_of_the_sources() {
        assert_eq!(problems(), Vec::<String>::new());
    }

    #[test]
    fn the_first_changed_line_is_named() {
        assert_eq!(first_change("a\nb\n", "a\nb\n"), None);
        let change = first_change("a\nb\n", "a\nc\n").expect("the texts differ");
        assert_eq!(change, "line 2 is `b`, and the sources say `c`");
        assert!(first_change("a\n", "a\nb\n").is_some());
    }
}
