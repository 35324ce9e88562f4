//! The number of crates that a user of the framework builds.

use std::collections::BTreeSet;

use crate::run::Step;

/// The default build of `bellwether` stays under this many packages, itself included.
const MAX_PACKAGES: usize = 90;

pub(super) fn check() -> Vec<String> {
    match size() {
        0 => vec!["cargo tree failed".to_owned()],
        size if size < MAX_PACKAGES => Vec::new(),
        size => vec![format!(
            "{size} packages; there should be fewer than {MAX_PACKAGES}"
        )],
    }
}

/// The number of packages of the default build.
pub(super) fn size() -> usize {
    let arguments = [
        "tree",
        "-p",
        "bellwether",
        "-e",
        "normal,build",
        "--prefix",
        "none",
    ];
    names(&Step::cargo("tree", &arguments).ask().unwrap_or_default()).len()
}

fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_build_stays_small() {
        assert_eq!(check(), Vec::<String>::new());
    }

    #[test]
    fn a_package_counts_once() {
        assert_eq!(names("a v1 (path)\nb v1\nb v1 (*)\n\n").len(), 2);
    }
}
