//! A type name is defined once in the sources of a crate, so that a name in a log or a stack trace leads to one file.
//!
//! Counted are structs, enums, traits, unions and type aliases. Associated types, test modules and definitions under
//! `cfg(test)` are not. Definitions that exclude each other by `cfg` count once if they are in one file.

use std::collections::BTreeMap;

use crate::workspace::{self, File};

pub(super) fn check() -> Vec<String> {
    let mut crates: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in workspace::files() {
        let Some((name, within)) = crate_of(&file.path) else {
            continue;
        };
        if within.starts_with("src/") && file.has_extension(&["rs"]) && !is_test_file(within) {
            crates.entry(name.to_owned()).or_default().push(file);
        }
    }
    crates.values().flat_map(|files| repeated(files)).collect()
}

/// The crate that a path is in, and the path within the crate.
fn crate_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("crates/")?.split_once('/')
}

fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "tests.rs"))
}

/// The names that these files define more than once, each with all of its places.
fn repeated(files: &[File]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
    for file in files {
        for found in definitions(&file.text) {
            let place = format!("{}:{}", file.path, found.line);
            let is_variant = found.is_conditional;
            let of_name = places.entry(found.name).or_default();
            let is_known = of_name.iter().any(|(is_conditional, known)| {
                let same_file = known.rsplit_once(':').map(|(path, _)| path);
                *is_conditional && is_variant && same_file == Some(&file.path)
            });
            if !is_known {
                of_name.push((is_variant, place));
            }
        }
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| {
            let places: Vec<_> = places.into_iter().map(|(_, place)| place).collect();
            format!("{name} is defined at {}", places.join(" and "))
        })
        .collect()
}

/// A type definition in a file.
#[derive(Debug, PartialEq, Eq)]
struct Definition {
    name: String,
    line: usize,
    /// Whether it has a `cfg` attribute.
    is_conditional: bool,
}

fn definitions(text: &str) -> Vec<Definition> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    let mut is_in_attribute = false;
    let mut is_in_tests = false;
    for (line, number) in text.lines().zip(1..) {
        if is_in_tests {
            // A module at the top level ends with a brace at the start of a line.
            is_in_tests = line != "}";
            continue;
        }
        let trimmed = line.trim_start();
        if is_in_attribute || trimmed.starts_with("#[") {
            attributes.push_str(trimmed);
            is_in_attribute = !trimmed.ends_with(']');
            continue;
        }
        if trimmed.starts_with("//") {
            continue;
        }
        let is_test = attributes.contains("#[cfg(test)]");
        if is_test && line.starts_with("mod ") && line.ends_with('{') {
            is_in_tests = true;
        } else if let Some(name) = defined_name(line)
            && !is_test
        {
            found.push(Definition {
                name: name.to_owned(),
                line: number,
                is_conditional: attributes.contains("#[cfg("),
            });
        }
        attributes.clear();
    }
    found
}

/// The name of the type that a line defines.
fn defined_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    let is_indented = rest.len() < line.len();
    if let Some(after) = rest.strip_prefix("pub") {
        rest = match after.strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1,
            None => after,
        }
        .trim_start();
    }
    let (keyword, rest) = rest.split_once(' ')?;
    let is_definition = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        // An associated type is not a name of the crate.
        "type" => !is_indented,
        _ => false,
    };
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let name = &rest[..end];
    (is_definition && name.starts_with(char::is_uppercase)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<String> = Vec::new();

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn every_type_name_of_a_crate_is_defined_once() {
        assert_eq!(check(), NONE);
    }

    #[test]
    fn a_name_that_two_files_define_is_found_with_both_places() {
        let files = [
            file(
                "a.rs",
                "//! A.\n\npub(crate) struct State;\ntrait Other {}\n",
            ),
            file("b.rs", "    enum State<T> {\n"),
        ];
        assert_eq!(
            repeated(&files),
            ["State is defined at a.rs:3 and b.rs:1".to_owned()]
        );
        let alias = [
            file("a.rs", "pub type Part = u8;\n"),
            file("b.rs", "pub(super) union Part {\n"),
        ];
        assert_eq!(repeated(&alias).len(), 1);
    }

    #[test]
    fn associated_types_tests_and_comments_define_no_name() {
        let files = [
            file(
                "a.rs",
                "struct Item;\n/// struct Item;\nimpl A for B {\n    type Item = u8;\n}\n",
            ),
            file(
                "b.rs",
                "#[cfg(test)]\nstruct Item;\n#[cfg(test)]\nmod tests {\n    struct Item;\n}\nstruct Behind;\n",
            ),
            file("c.rs", "struct Behind;\n"),
        ];
        assert_eq!(
            repeated(&files),
            ["Behind is defined at b.rs:7 and c.rs:1".to_owned()]
        );
        assert!(is_test_file("src/machine/tests.rs"));
    }

    #[test]
    fn definitions_that_exclude_each_other_count_once_in_one_file_only() {
        let both = "#[cfg(docsrs)]\npub trait Chunk {}\n/// With a hint.\n#[cfg(not(docsrs))]\n\
            #[diagnostic::on_unimplemented(\n    note = \"a note\"\n)]\npub trait Chunk {}\n";
        assert_eq!(repeated(&[file("a.rs", both)]), NONE);
        let unconditional = "#[cfg(docsrs)]\npub trait Chunk {}\npub trait Chunk {}\n";
        assert_eq!(repeated(&[file("a.rs", unconditional)]).len(), 1);
        let elsewhere = [
            file("a.rs", both),
            file("b.rs", "#[cfg(unix)]\ntrait Chunk {}\n"),
        ];
        assert_eq!(repeated(&elsewhere).len(), 1);
    }
}
