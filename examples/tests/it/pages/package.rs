//! The package that a reader of the pages has: the README's Cargo.toml, and the programs as they stand there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::page::{Code, HEADINGS, Page, crate_name};
use super::root;

/// Where a reader gets the crates as long as no registry has them.
const GIT: &str = "git = \"https://github.com/bellwether-sse/bellwether\"";

/// The crates of this repository that a page may ask for, and their folders.
const FOLDERS: [&str; 6] = [
    "bellwether",
    "bellwether-client",
    "bellwether-nats",
    "bellwether-redis",
    "bellwether-sqlite",
    "bellwether-wire",
];

/// A package in a folder of its own, outside of the workspace.
pub(super) struct Package {
    folder: PathBuf,
    target: PathBuf,
    /// Each program's name and its place in the pages.
    places: Vec<(String, String)>,
}

impl Package {
    /// Writes the package. An old one with the same text is left as it is, and so is what was built of it.
    pub(super) fn write(pages: &[Page]) -> Self {
        let package = Self {
            // The name tells checkouts apart that share a machine.
            folder: std::env::temp_dir().join(format!("bellwether-pages-{:x}", seed(root()))),
            target: target(),
            places: places(pages),
        };
        let mut files = BTreeMap::from([("Cargo.toml".to_owned(), manifest(pages))]);
        let pieces = pages.iter().flat_map(|page| &page.programs);
        let (whole, pieces): (Vec<&Code>, Vec<&Code>) = pieces.partition(|code| code.is_whole);
        let (tests, pieces): (Vec<&Code>, Vec<&Code>) =
            pieces.into_iter().partition(|code| code.is_test);
        for code in tests {
            files.insert(format!("tests/{}.rs", code.name), code.text.clone());
        }
        for code in whole {
            files.insert(format!("src/bin/{}.rs", code.name), code.text.clone());
        }
        files.insert("src/bin/pieces/main.rs".to_owned(), main_of(&pieces));
        for code in pieces {
            files.insert(format!("src/bin/pieces/{}.rs", code.name), piece(code));
        }
        for folder in ["src", "tests"] {
            let _ = fs::remove_dir_all(package.folder.join(folder));
        }
        for (path, text) in files {
            let path = package.folder.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))
                .expect("the folder for temporary files can be written");
            fs::write(path, text).expect("a file can be written");
        }
        // The workspace's versions, so that no registry must be asked.
        fs::copy(root().join("Cargo.lock"), package.folder.join("Cargo.lock"))
            .expect("the workspace has a lockfile");
        package
    }

    /// Builds all of it, and runs the tests that the pages show.
    pub(super) async fn build(&self) {
        let output = Command::new(env!("CARGO"))
            .args([
                "test",
                "--offline",
                "--quiet",
                "--no-fail-fast",
                "--test",
                "*",
            ])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // As the workspace has it, so that what it has built can be used.
            .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
            .env_remove("RUSTFLAGS")
            .output()
            .await
            .expect("cargo runs");
        let seen = [output.stderr, output.stdout].concat();
        let seen = String::from_utf8_lossy(&seen);
        let places = self.places.iter().filter(|(name, _)| seen.contains(name));
        let places: Vec<_> = places
            .map(|(name, place)| format!("{name} is {place}"))
            .collect();
        assert!(
            output.status.success(),
            "a page's program does not compile, or a test of it fails\n{seen}\n{}",
            places.join("\n")
        );
    }

    /// The program of this name.
    pub(super) fn binary(&self, name: &str) -> PathBuf {
        let path = self.target.join("debug").join(name);
        path.with_extension(std::env::consts::EXE_EXTENSION)
    }

    /// Runs the pieces that can be run anywhere, and counts them.
    pub(super) async fn run_pieces(&self) -> usize {
        let output = Command::new(self.binary("pieces"))
            .output()
            .await
            .expect("what was built can be started");
        let seen = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "a piece fails:\n{seen}");
        seen.lines().filter(|line| line.starts_with("ran ")).count()
    }
}

fn places(pages: &[Page]) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for page in pages {
        let of_page = page.programs.iter();
        places.extend(
            of_page.map(|code| (code.name.clone(), format!("{}:{}", page.path, code.line))),
        );
    }
    places
}

/// The README's manifest, with the dependencies that pages add and with paths for our crates.
fn manifest(pages: &[Page]) -> String {
    let base = pages[0].manifest.as_deref();
    let base = base.expect("README shows its Cargo.toml").lines();
    let head: Vec<&str> = base.take_while(|line| *line != HEADINGS[0]).collect();
    let mut manifest = head.join("\n") + "\n";
    for heading in HEADINGS {
        // A page may add features to what the README has: its line is the one that holds.
        let lines = pages.iter().flat_map(|page| page.dependencies(heading));
        let lines: BTreeMap<&str, &str> = lines.map(|line| (crate_name(line), line)).collect();
        let lines = lines.into_iter().map(|(name, line)| with_path(name, line));
        let _ = writeln!(
            manifest,
            "{heading}\n{}\n",
            lines.collect::<Vec<_>>().join("\n")
        );
    }
    manifest
}

/// The line with a path where it asks for one of our crates.
fn with_path(name: &str, line: &str) -> String {
    if !FOLDERS.contains(&name) {
        return line.to_owned();
    }
    assert!(line.contains(GIT), "{line} does not say {GIT}");
    let path = root().join("crates").join(name);
    line.replace(GIT, &format!("path = {:?}", path.display().to_string()))
}

/// `main` of the pieces: each is compiled, and those that can be are run.
fn main_of(pieces: &[&Code]) -> String {
    let mut text = String::from("#![allow(warnings)]\n");
    for code in pieces {
        let _ = writeln!(text, "mod {};", code.name);
    }
    text.push_str("\nfn main() {\n");
    for code in pieces.iter().filter(|code| code.is_run) {
        let name = &code.name;
        let _ = writeln!(
            text,
            "    {name}::run().unwrap();\n    eprintln!(\"ran {name}\");"
        );
    }
    text.push_str("}\n");
    text
}

/// The piece in a function, as rustdoc wraps it.
fn piece(code: &Code) -> String {
    let is_fallible = code
        .text
        .trim_end()
        .lines()
        .last()
        .is_some_and(|line| line.starts_with("Ok::<"));
    let end = if is_fallible {
        ""
    } else {
        "Ok::<(), std::convert::Infallible>(())\n"
    };
    format!(
        "pub fn run() -> Result<(), impl std::fmt::Debug> {{\n{}{end}}}\n",
        code.text
    )
}

/// The folder that the workspace builds in.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.ancestors().find(|folder| folder.join("deps").is_dir());
    let target = profile.and_then(Path::parent);
    target.expect("a test lies in a target folder").to_owned()
}

/// A number for a path, the same each time.
fn seed(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
