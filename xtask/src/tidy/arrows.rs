//! Which part of a crate may import which: the sheets of ARCHITECTURE.md, sections Inside `bellwether` and Inside
//! `bellwether-topics`.
//!
//! A sheet goes from the bottom to the top: a row names only rows above it, so that no arrow leads upward. The rule
//! compares it with the sources in both directions, so it has neither more nor fewer arrows than they have. A name that
//! the crate's root re-exports counts as the part that it comes from. Tests may import any part.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace;

const SHEET: &str = "ARCHITECTURE.md";

/// The sources of a crate, and the head of the table that is its sheet.
const CRATES: [(&str, &str); 2] = [
    ("crates/bellwether/src/", "| part | imports |"),
    (
        "crates/bellwether-topics/src/",
        "| part of topics | imports |",
    ),
];

/// The parts of the crate that each part imports, in the order of a sheet or of names.
type Arrows = Vec<(String, BTreeSet<String>)>;

pub(super) fn check() -> Vec<String> {
    let files = workspace::files();
    let text = files.iter().find(|file| file.path == SHEET);
    let text = text.map_or("", |file| &file.text);
    let of_crate = |(folder, head)| {
        let sheet = read_sheet(text, head);
        let sources: Vec<(&str, &str)> = files
            .iter()
            .filter(|file| file.has_extension(&["rs"]))
            .filter_map(|file| Some((file.path.strip_prefix(folder)?, file.text.as_str())))
            .collect();
        let mut broken = upward(&sheet);
        broken.extend(differences(folder, &sheet, &drawn(&sources)));
        broken
    };
    CRATES.into_iter().flat_map(of_crate).collect()
}

/// The rows of the table that begins with this head.
fn read_sheet(text: &str, head: &str) -> Arrows {
    let rows = text.lines().skip_while(|line| *line != head).skip(2);
    rows.map_while(|line| {
        let mut cells = line.strip_prefix('|')?.split('|');
        let names = |cell: &str| -> Vec<String> {
            let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
            names
                .filter(|name| !matches!(*name, "" | "–"))
                .map(str::to_owned)
                .collect()
        };
        let part = names(cells.next()?).into_iter().next()?;
        Some((part, names(cells.next()?).into_iter().collect()))
    })
    .collect()
}

/// Rows that import themselves, or a part below them.
fn upward(sheet: &Arrows) -> Vec<String> {
    let mut above = BTreeSet::new();
    let mut broken = Vec::new();
    for (part, imports) in sheet {
        let up = imports.iter().filter(|import| !above.contains(*import));
        broken.extend(
            up.map(|import| format!("{SHEET}: the arrow from {part} to {import} leads upward")),
        );
        above.insert(part.clone());
    }
    broken
}

/// The arrows that only the sheet has, or only the sources.
fn differences(
    folder: &str,
    sheet: &Arrows,
    drawn: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let none = BTreeSet::new();
    let rows: BTreeMap<_, _> = sheet.iter().cloned().collect();
    let parts: BTreeSet<_> = rows.keys().chain(drawn.keys()).collect();
    let mut broken = Vec::new();
    for part in parts {
        let (Some(row), Some(_)) = (rows.get(part), drawn.get(part)) else {
            broken.push(format!(
                "{part} has a row in {SHEET}, or sources, but not both"
            ));
            continue;
        };
        let imports = drawn.get(part).unwrap_or(&none);
        let missing = imports.difference(row);
        broken.extend(
            missing.map(|import| {
                format!("{folder}{part} imports {import}, which its row does not have")
            }),
        );
        let idle = row.difference(imports);
        broken.extend(idle.map(|import| format!("{SHEET}: {part} does not import {import}")));
    }
    broken
}

/// The arrows of the sources, which are given by their path inside of the crate.
fn drawn(sources: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let part_of = |path: &str| {
        let first = path.split('/').next().unwrap_or(path);
        first.trim_end_matches(".rs").to_owned()
    };
    let parts: BTreeSet<String> = sources.iter().map(|(path, _)| part_of(path)).collect();
    let root = sources.iter().find(|(path, _)| *path == "lib.rs");
    let exports = exports(root.map_or("", |(_, text)| text), &parts);
    let mut drawn: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources {
        let part = part_of(path);
        if part == "lib" || path.ends_with("tests.rs") || is_test_module(root, &part) {
            continue;
        }
        let arrows = drawn.entry(part.clone()).or_default();
        for name in named(text) {
            let target = if parts.contains(&name) {
                Some(&name)
            } else {
                exports.get(&name)
            };
            arrows.extend(target.filter(|target| **target != part).cloned());
        }
    }
    // A part that has only docs has no row.
    drawn.retain(|part, _| part != "guide");
    drawn
}

/// Whether the root has this module for tests alone.
fn is_test_module(root: Option<&(&str, &str)>, part: &str) -> bool {
    root.is_some_and(|(_, text)| text.contains(&format!("#[cfg(test)]\nmod {part};")))
}

/// The part that each name comes from that the root re-exports.
fn exports(root: &str, parts: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for statement in root.split(';') {
        let Some((_, path)) = statement.rsplit_once("pub use ") else {
            continue;
        };
        let Some((part, names)) = path.split_once("::") else {
            continue;
        };
        if parts.contains(part) {
            for name in names.split(|letter: char| !is_letter(letter)) {
                exports.insert(name.to_owned(), part.to_owned());
            }
        }
    }
    exports
}

/// The first names of the paths that begin at the crate's root, outside of comments and of the tests at the end.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .take_while(|line| !line.starts_with("mod tests {"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| is_letter(letter) || letter == '$') {
            continue;
        }
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            None => names.extend(first_name(rest)),
            Some(group) => names.extend(members(group).into_iter().filter_map(first_name)),
        }
    }
    names
}

/// The members of a group of imports that has been opened, without what their own groups hold.
fn members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    members
}

fn first_name(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|letter| !is_letter(letter)).unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "mod low;\nmod high;\npub use low::{Grain, Stone};\npub use other::Sky;\n";

    fn sheet(rows: &str) -> Arrows {
        let head = CRATES[0].1;
        let text = format!("# Title\n\n{head}\n|---|---|\n{rows}\n\n| not | it |\n");
        read_sheet(&text, head)
    }

    fn found(sheet: &Arrows, low: &str, high: &str) -> Vec<String> {
        let mut broken = upward(sheet);
        let sources = [("lib.rs", LIB), ("low/mod.rs", low), ("high.rs", high)];
        broken.extend(differences(CRATES[0].0, sheet, &drawn(&sources)));
        broken
    }

    #[test]
    fn the_framework_draws_the_arrows_of_its_sheet() {
        assert_eq!(check(), Vec::<String>::new());
    }

    #[test]
    fn arrows_are_found_in_groups_in_names_of_the_root_and_in_the_middle_of_code() {
        let sheet = sheet("| `low` | – |\n| `high` | `low` |");
        for high in [
            "use crate::low::Grain;",
            "use crate::{Sky, low};",
            "use crate::{\n    Sky::{a, b},\n    Stone,\n};",
            "use crate::Grain;",
            "fn f() { crate::low::grain() }",
        ] {
            assert_eq!(found(&sheet, "", high), Vec::<String>::new(), "{high}");
            let upside_down = found(&sheet, high, "");
            assert!(
                upside_down
                    .iter()
                    .any(|line| line.contains("does not import"))
            );
        }
    }

    #[test]
    fn an_arrow_that_the_sheet_lacks_is_broken_and_so_is_one_that_leads_upward() {
        let silent = sheet("| `low` | – |\n| `high` | `low` |");
        let up = "use crate::high::Roof;";
        let down = "use crate::low::Grain;";
        assert_eq!(
            found(&silent, up, down),
            ["crates/bellwether/src/low imports high, which its row does not have"]
        );
        let honest = sheet("| `low` | `high` |\n| `high` | `low` |");
        assert_eq!(
            found(&honest, up, down),
            ["ARCHITECTURE.md: the arrow from low to high leads upward"]
        );
        assert_eq!(found(&sheet("| `low` | – |"), "", "").len(), 1);
    }

    #[test]
    fn comments_and_tests_draw_no_arrow() {
        let sheet = sheet("| `low` | – |\n| `high` | – |");
        let high =
            "//! See `crate::low`.\n#[cfg(test)]\nmod tests {\n    use crate::low::Grain;\n}\n";
        assert_eq!(found(&sheet, "", high), Vec::<String>::new());
    }
}
