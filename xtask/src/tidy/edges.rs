//! Which crate may import which: the table of ARCHITECTURE.md, section Layers.

use crate::workspace::{self, Package};

/// A crate, what it may import, and what its tests may import beside that and the testkit.
struct Allowed {
    name: &'static str,
    imports: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const WIRE: &str = "bellwether-wire";
const TOPICS: &str = "bellwether-topics";
const MACROS: &str = "bellwether-macros";
const BELLWETHER: &str = "bellwether";
const CLIENT: &str = "bellwether-client";
const SQLITE: &str = "bellwether-sqlite";
const REDIS: &str = "bellwether-redis";
const NATS: &str = "bellwether-nats";
const TESTKIT: &str = "bellwether-testkit";

/// All crates that programs at the top may use.
const ALL: &[&str] = &[
    WIRE, TOPICS, MACROS, BELLWETHER, CLIENT, SQLITE, REDIS, NATS,
];

/// The complete table; a crate that is not in it breaks the rule.
const TABLE: [Allowed; 15] = [
    Allowed {
        name: WIRE,
        imports: &[],
        in_tests: &[],
    },
    Allowed {
        name: TOPICS,
        imports: &[WIRE],
        in_tests: &[],
    },
    // The attributes expand to paths of the framework, so only a program that has it can test them.
    Allowed {
        name: MACROS,
        imports: &[],
        in_tests: &[BELLWETHER],
    },
    Allowed {
        name: BELLWETHER,
        imports: &[WIRE, TOPICS, MACROS],
        in_tests: &[],
    },
    Allowed {
        name: CLIENT,
        imports: &[WIRE],
        in_tests: &[],
    },
    Allowed {
        name: SQLITE,
        imports: &[WIRE, TOPICS],
        in_tests: &[],
    },
    Allowed {
        name: REDIS,
        imports: &[WIRE, TOPICS],
        in_tests: &[],
    },
    Allowed {
        name: NATS,
        imports: &[WIRE, TOPICS],
        in_tests: &[],
    },
    Allowed {
        name: "bellwether-cli",
        imports: ALL,
        in_tests: &[],
    },
    Allowed {
        name: TESTKIT,
        imports: &[WIRE, TOPICS],
        in_tests: &[],
    },
    Allowed {
        name: "bellwether-examples",
        imports: &[],
        in_tests: ALL,
    },
    Allowed {
        name: "bellwether-example-cluster",
        imports: &[BELLWETHER, REDIS, NATS],
        in_tests: &[],
    },
    Allowed {
        name: "bellwether-bench",
        imports: ALL,
        in_tests: &[],
    },
    // A program for tests alone, so it takes the tools of tests.
    Allowed {
        name: "bellwether-world",
        imports: &[BELLWETHER, CLIENT, SQLITE, TESTKIT, TOPICS, WIRE],
        in_tests: &[],
    },
    Allowed {
        name: "xtask",
        imports: &[],
        in_tests: &[],
    },
];

pub(super) fn check() -> Vec<String> {
    broken(&workspace::packages())
}

/// The edges between these packages that the table does not have.
fn broken(packages: &[Package]) -> Vec<String> {
    let is_ours = |name: &str| name == BELLWETHER || name.starts_with("bellwether-");
    let mut broken = Vec::new();
    for package in packages {
        let Some(allowed) = TABLE.iter().find(|allowed| allowed.name == package.name) else {
            broken.push(format!(
                "{} is not in the table of allowed imports",
                package.name
            ));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| is_ours(&dependency.name))
        {
            let name = dependency.name.as_str();
            let in_tests =
                dependency.is_dev && (name == TESTKIT || allowed.in_tests.contains(&name));
            if !in_tests && !allowed.imports.contains(&name) {
                let how = if dependency.is_dev {
                    "its tests import"
                } else {
                    "it imports"
                };
                broken.push(format!("{}: {how} {name}", package.name));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    #[test]
    fn crates_import_only_what_the_design_allows() {
        assert_eq!(check(), Vec::<String>::new());
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        let package = |name: &str, dependency: &str, is_dev| Package {
            name: name.to_owned(),
            is_published: true,
            dependencies: vec![Dependency {
                name: dependency.to_owned(),
                is_dev,
            }],
        };
        let packages = [
            package(TOPICS, WIRE, false),
            package(TOPICS, TESTKIT, true),
            package(TOPICS, "bytes", false),
            package(TOPICS, TESTKIT, false),
            package(WIRE, TOPICS, true),
            package(NATS, BELLWETHER, false),
            package("bellwether-util", WIRE, false),
        ];
        assert_eq!(
            broken(&packages),
            [
                "bellwether-topics: it imports bellwether-testkit",
                "bellwether-wire: its tests import bellwether-topics",
                "bellwether-nats: it imports bellwether",
                "bellwether-util is not in the table of allowed imports",
            ]
        );
    }
}
