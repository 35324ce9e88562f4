//! The rules of `deny.toml` for dependencies: by cargo-deny where it is installed, else by our own check.
//!
//! Our own check reads the two lists of that file, so that there is one place for the rules: crates
//! that must not be in the tree, and licences that may. It reports crates in two versions and lets
//! them pass. Advisories need a database from the network and are left to cargo-deny by hand.

use std::collections::BTreeMap;

use crate::run::Step;
use crate::{tools, workspace};

/// Runs the check, prints what is wrong, and returns whether nothing is.
pub(crate) fn check() -> bool {
    if tools::has_cargo_command("deny") {
        let arguments = [
            "deny",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        return Step::cargo("dependencies", &arguments).run().is_success;
    }
    println!("\n== dependencies: the rules of deny.toml, as cargo-deny is not installed");
    let rules = std::fs::read_to_string(workspace::root().join("deny.toml")).unwrap_or_default();
    // The tree and not the lockfile, which also lists crates of features that nothing switches on.
    let arguments = [
        "tree",
        "--workspace",
        "--all-features",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ];
    let Some(tree) = Step::cargo("tree", &arguments).ask() else {
        println!("cargo tree failed");
        return false;
    };
    let problems = problems(&Rules::read(&rules), &tree);
    for problem in &problems {
        println!("{problem}");
    }
    for (name, versions) in duplicates(&tree) {
        println!(
            "note: {name} is in the tree in versions {}",
            versions.join(", ")
        );
    }
    println!(
        "-- dependencies: {}",
        if problems.is_empty() {
            "done"
        } else {
            "FAILED"
        }
    );
    problems.is_empty()
}

/// The two lists of `deny.toml` that we read.
struct Rules {
    banned: Vec<String>,
    licences: Vec<String>,
}

impl Rules {
    /// Reads the quoted words of the lists `deny = […]` and `allow = […]`, which the file keeps one item a line.
    fn read(text: &str) -> Self {
        let list = |name: &str| -> Vec<String> {
            let start = format!("{name} = [");
            let items = text.lines().skip_while(|line| **line != *start).skip(1);
            let items = items.take_while(|line| !line.starts_with(']'));
            items
                .filter_map(|line| line.split('"').nth(1))
                .map(str::to_owned)
                .collect()
        };
        Self {
            banned: list("deny"),
            licences: list("allow"),
        }
    }
}

/// Name, version and licence in each line of `cargo tree` with the format `{p}|{l}`.
fn crates(tree: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    tree.lines().filter_map(|line| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some((name, version, licence.trim_end_matches("(*)").trim()))
    })
}

fn problems(rules: &Rules, tree: &str) -> Vec<String> {
    if rules.banned.is_empty() || rules.licences.is_empty() {
        return vec!["deny.toml has no list of banned crates or of licences".to_owned()];
    }
    let mut problems = Vec::new();
    for (name, version, licence) in crates(tree) {
        if rules.banned.iter().any(|banned| banned == name) {
            problems.push(format!(
                "{name} {version} is banned; `cargo tree -i {name}` shows what needs it"
            ));
        }
        if !crate::licence::is_satisfied(licence, &rules.licences) {
            problems.push(format!(
                "{name} {version} has the licence {licence:?}, which is not allowed"
            ));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn duplicates(tree: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version, _) in crates(tree) {
        let known = versions.entry(name).or_default();
        if !known.contains(&version) {
            known.push(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str =
        "a v1.0.0 (path)|MIT\nopenssl-sys v0.9.1|MIT\nb v2.0.0|GPL-3.0 (*)\nb v1.0.0|MIT\n";

    #[test]
    fn banned_crates_and_foreign_licences_are_named() {
        let file = include_str!("../../deny.toml");
        let rules = Rules::read(file);
        assert!(
            rules.banned.contains(&"aws-lc-sys".to_owned()),
            "{:?}",
            rules.banned
        );
        let problems = problems(&rules, TREE);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("b v2.0.0 has the licence \"GPL-3.0\""));
        assert!(problems[1].starts_with("openssl-sys v0.9.1 is banned"));
        assert_eq!(
            duplicates(TREE),
            BTreeMap::from([("b", vec!["v2.0.0", "v1.0.0"])])
        );
    }

    #[test]
    fn rules_that_can_not_be_read_are_a_problem() {
        assert_eq!(problems(&Rules::read(""), TREE).len(), 1);
    }
}
