//! The workspace as cargo and git see it: its root, its packages, its files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::Step;

/// The folder with the workspace's manifest.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// The cargo that runs us, so that its toolchain is used throughout.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// A package of this workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) is_published: bool,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a manifest's dependency tables.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
}

/// Every package of the workspace, with the dependencies that its manifest names.
pub(crate) fn packages() -> Vec<Package> {
    let metadata = Step::cargo(
        "metadata",
        &["metadata", "--format-version", "1", "--no-deps"],
    )
    .ask();
    let metadata: Value = metadata
        .and_then(|text| serde_json::from_str(&text).ok())
        .expect("cargo metadata describes a workspace that has been built");
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    array(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            // An empty list of registries is what `publish = false` comes to.
            is_published: package["publish"].is_null(),
            dependencies: array(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    is_dev: dependency["kind"] == "dev",
                })
                .collect(),
        })
        .collect()
}

/// A text file of the repository.
pub(crate) struct File {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn has_extension(&self, extensions: &[&str]) -> bool {
        let found = Path::new(&self.path)
            .extension()
            .and_then(|extension| extension.to_str());
        found.is_some_and(|found| extensions.contains(&found))
    }
}

/// Every text file that git tracks or would track; files that are no UTF-8 are left out.
pub(crate) fn files() -> Vec<File> {
    // In a container the clone may belong to another user, which git refuses unless told.
    let arguments = [
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let list = Step::new("files", "git", &arguments)
        .ask()
        .expect("the workspace is a git clone");
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(PathBuf::from(path))).ok()?;
        Some(File {
            path: path.to_owned(),
            text,
        })
    };
    list.split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(read)
        .collect()
}
