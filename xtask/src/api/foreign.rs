//! Types of other crates in the API: each stands in `docs/api/foreign.md` with the reason why.
//!
//! Their crates' breaking versions are ours too, so a new one is a decision.

use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with the list: an item that is missing, or not used any more, or without a reason.
///
/// `used` has the crates of ours in whose API each path appears.
pub(super) fn problems(text: &str, used: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let listed: BTreeMap<&str, (&str, &str)> = text.lines().filter_map(row).collect();
    let mut problems = Vec::new();
    for (path, crates) in used {
        let crates = crates.iter().map(String::as_str).collect::<Vec<_>>();
        let crates = crates.join(", ");
        match listed.get(path.as_str()) {
            None => problems.push(format!(
                "docs/api/foreign.md: `{path}` is in the API of {crates}, and has no line"
            )),
            Some((_, "")) => problems.push(format!("docs/api/foreign.md: `{path}` has no reason")),
            Some((listed, _)) if *listed != crates => problems.push(format!(
                "docs/api/foreign.md: `{path}` is in the API of {crates}, and the list says {listed}"
            )),
            Some(_) => {}
        }
    }
    let is_unused = |path: &&&str| !used.contains_key(**path);
    problems.extend(
        listed
            .keys()
            .filter(is_unused)
            .map(|path| format!("docs/api/foreign.md: `{path}` is in no API; remove its line")),
    );
    problems
}

/// A line of the table: path, crates, reason.
fn row(line: &str) -> Option<(&str, (&str, &str))> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let path = cells.next()?.strip_suffix('`')?;
    Some((path, (cells.next()?, cells.next().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_another_crate_needs_a_line_with_a_reason_and_a_line_needs_a_type() {
        let used = |paths: &[&str]| {
            let ours: BTreeSet<String> = ["ours".to_owned()].into();
            let paths = paths.iter().map(|path| ((*path).to_owned(), ours.clone()));
            paths.collect::<BTreeMap<_, _>>()
        };
        let text = "| type | in | why |\n|---|---|---|\n| `bytes::Bytes` | ours | shared memory |\n| `a::B` | ours | |\n";
        assert_eq!(problems(text, &used(&["bytes::Bytes"])).len(), 1);
        let found = problems(text, &used(&["bytes::Bytes", "a::B", "c::D"]));
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("`a::B` has no reason"), "{found:?}");
        assert!(
            found[1].contains("`c::D` is in the API of ours"),
            "{found:?}"
        );
        let moved = text.replace("| ours | shared", "| theirs | shared");
        assert!(problems(&moved, &used(&["bytes::Bytes"]))[0].contains("the list says theirs"));
    }
}
