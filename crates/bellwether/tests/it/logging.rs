//! The tables of `docs/guide/logging-and-metrics.md` and the code say the same, in both directions.
//!
//! Both are read from the sources of all crates: no test could bring about every warning, and a line that is missed there
//! is one that an operator cannot look up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/guide/logging-and-metrics.md";

/// Target, level and message to the names of the fields.
type Lines = BTreeMap<(String, String, String), BTreeSet<String>>;

#[test]
fn every_log_line_of_the_code_stands_in_the_table_and_no_other() {
    let (code, table) = (lines_of_the_code(), lines_of_the_table());
    assert!(code.len() > 40, "the sources are read: {}", code.len());
    let missing: Vec<_> = code
        .iter()
        .filter(|(key, fields)| table.get(*key) != Some(*fields))
        .collect();
    assert!(missing.is_empty(), "{PAGE} lacks {missing:#?}");
    let idle: Vec<_> = table
        .keys()
        .filter(|key| !code.contains_key(*key))
        .collect();
    assert!(
        idle.is_empty(),
        "{PAGE} has what the code has not: {idle:#?}"
    );
}

#[test]
fn every_metric_of_the_code_stands_in_the_table_or_in_its_brokers_readme() {
    let page = read(&root().join(PAGE));
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for row in page
        .lines()
        .filter_map(|line| line.strip_prefix("| `bellwether_"))
    {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        // Rows of the other table begin with a target.
        if cells.len() == 5 {
            let name = format!("bellwether_{}", cells[0].trim_end_matches('`'));
            assert!(
                !cells[2].is_empty() && !cells[3].is_empty(),
                "unit and meaning: {row}"
            );
            told.insert((name, cells[1].to_owned()));
        }
    }
    let mut made = BTreeSet::new();
    let mut unlisted = Vec::new();
    for (folder, sources) in crates() {
        for (name, kind) in sources.iter().flat_map(|(_, text)| metrics_in(text)) {
            let plain = name.split('{').next().unwrap_or(&name);
            let readme = root().join("crates").join(&folder).join("README.md");
            if folder.ends_with("bellwether") || folder.ends_with("-topics") {
                made.insert((name, kind));
            } else if !read(&readme).contains(&format!("`{plain}")) {
                unlisted.push(name);
            }
        }
    }
    assert_eq!(told, made, "left: {PAGE}, right: the code");
    assert!(unlisted.is_empty(), "no README has {unlisted:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sources of each crate that users run, with the module path of each file.
fn crates() -> Vec<(String, Vec<(String, String)>)> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().file_name().into_string().unwrap();
        let mut sources = Vec::new();
        let top = root().join("crates").join(&folder).join("src");
        collect(&top, &folder.replace('-', "_"), &mut sources);
        if folder != "bellwether-testkit" {
            crates.push((folder, sources));
        }
    }
    crates
}

fn collect(folder: &Path, module: &str, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(&path, &format!("{module}::{name}"), sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = match &*name {
                "lib" | "main" | "mod" => module.to_owned(),
                name => format!("{module}::{name}"),
            };
            sources.push((module, read(&path)));
        }
    }
}

fn lines_of_the_code() -> Lines {
    let mut lines = Lines::new();
    for (module, text) in crates().into_iter().flat_map(|(_, sources)| sources) {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in calls(&text, &format!("tracing::{level}!(")) {
                let line = line_of(&module, level, &call);
                lines.entry(line.0).or_default().extend(line.1);
            }
        }
    }
    lines
}

/// The arguments of each call of a macro.
fn calls(text: &str, start: &str) -> Vec<Vec<String>> {
    let after = text
        .match_indices(start)
        .map(|(at, _)| &text[at + start.len()..]);
    after.map(arguments).collect()
}

/// What stands between the commas up to the closing parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut in_text, mut before) = (0, false, ' ');
    for c in text.chars() {
        match c {
            '"' if before != '\\' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' if !in_text && depth == 0 => break,
            ')' | ']' | '}' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                arguments.push(String::new());
                before = c;
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(c);
        before = c;
    }
    let trimmed = arguments.iter().map(|argument| argument.trim().to_owned());
    trimmed.filter(|argument| !argument.is_empty()).collect()
}

/// Target, level and message, and the fields.
fn line_of(
    module: &str,
    level: &str,
    arguments: &[String],
) -> ((String, String, String), Vec<String>) {
    let text = |argument: &str| argument.trim_matches('"').to_owned();
    let mut target = module.to_owned();
    let mut message = String::new();
    let mut fields = Vec::new();
    for argument in arguments {
        if let Some(named) = argument.strip_prefix("target:") {
            target = text(named.trim());
        } else if argument.starts_with('"') {
            message = text(argument);
        } else if message.is_empty() {
            let name = argument.split('=').next().unwrap_or(argument).trim();
            fields.push(name.trim_start_matches(['%', '?']).to_owned());
        }
    }
    // Advice follows the message behind a colon or a semicolon.
    let end = message.find([':', ';', '{', '\\']).unwrap_or(message.len());
    let message = match message[..end].trim() {
        "" => "(what failed)".to_owned(),
        message => message.to_owned(),
    };
    ((target, level.to_owned(), message), fields)
}

fn lines_of_the_table() -> Lines {
    let page = read(&root().join(PAGE));
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| `bellwether")?
            .split('|')
            .map(str::trim)
            .collect();
        let [target, level, message, fields, ..] = cells[..] else {
            return None;
        };
        // Rows of the metrics have a unit in this place, and one cell less.
        (cells.len() == 6).then(|| {
            let target = format!("bellwether{}", target.trim_end_matches('`'));
            let fields = fields
                .split(',')
                .map(|field| field.trim().trim_matches('`'));
            let fields = fields.filter(|field| !field.is_empty()).map(str::to_owned);
            (
                (target, level.to_owned(), message.to_owned()),
                fields.collect(),
            )
        })
    });
    rows.collect()
}

/// Name with its label, and kind.
fn metrics_in(text: &str) -> Vec<(String, String)> {
    let kinds = ["counter", "gauge", "histogram"];
    let calls = kinds.iter().flat_map(|kind| {
        let calls = calls(text, &format!("{kind}!("));
        calls.into_iter().map(|call| ((*kind).to_owned(), call))
    });
    calls
        .map(|(kind, call)| {
            let name = call[0].trim_matches('"');
            match call.get(1).and_then(|label| label.split('"').nth(1)) {
                Some(label) => (format!("{name}{{{label}}}"), kind),
                None => (name.to_owned(), kind),
            }
        })
        .collect()
}
