//! Rules for the text of files: how they open, how long they are, which words they must not have.

use crate::workspace::{self, File};

/// Beyond this a file is too long.
const MAX_LINES: usize = 800;
/// A file with more lines should be split at a seam.
const LONG_LINES: usize = 500;

// The words are put together so that this file does not break its own rules.
const MARKERS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[", "ignore"),
];
const FOLDERS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "target"),
];
const UNSAFE: [&str; 2] = [
    concat!("allow(", "unsafe_code"),
    concat!("expect(", "unsafe_code"),
];
/// The only module that may have unsafe code, because a measurement supports it.
const MAY_BE_UNSAFE: &str = "crates/bellwether-wire/src/scanned.rs";
const HOSTS: [&str; 8] = [
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("npm", "mirror.com"),
    concat!("pypi.org/", "simple"),
    concat!("files.", "pythonhosted.org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("arti", "factory"),
];
const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

pub(super) fn check_heads() -> Vec<String> {
    paths(rust_files().filter(|file| !file.text.starts_with("//!")))
}

pub(super) fn check_lengths() -> Vec<String> {
    paths(rust_files().filter(|file| file.text.lines().count() > MAX_LINES))
}

/// Files beyond [`LONG_LINES`], with their numbers of lines.
pub(super) fn long_files() -> Vec<(String, usize)> {
    rust_files()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONG_LINES)
        .map(|(lines, path)| (path, lines))
        .collect()
}

pub(super) fn check_markers() -> Vec<String> {
    let code = ["rs", "toml", "mjs", "js", "html", "css", "sh", "yml"];
    let files = workspace::files()
        .into_iter()
        .filter(|file| file.has_extension(&code));
    files.flat_map(|file| lines_with(&file, &MARKERS)).collect()
}

/// The compiler denies unsafe code wherever it is not allowed by name.
pub(super) fn check_unsafe() -> Vec<String> {
    let files = rust_files().filter(|file| file.path != MAY_BE_UNSAFE);
    files.flat_map(|file| lines_with(&file, &UNSAFE)).collect()
}

pub(super) fn check_places() -> Vec<String> {
    let files = workspace::files();
    let words = [&FOLDERS[..], &HOSTS[..]].concat();
    files
        .iter()
        .flat_map(|file| lines_with(file, &words))
        .collect()
}

/// A lockfile that names hosts works only where those can be reached.
pub(super) fn check_lockfiles() -> Vec<String> {
    let files = workspace::files();
    files.iter().flat_map(foreign_sources).collect()
}

fn rust_files() -> impl Iterator<Item = File> {
    workspace::files()
        .into_iter()
        .filter(|file| file.has_extension(&["rs"]))
}

fn paths(files: impl Iterator<Item = File>) -> Vec<String> {
    files.map(|file| file.path).collect()
}

/// `path:line: text` of each line that holds one of the words, not as the end of a longer word.
fn lines_with(file: &File, words: &[&str]) -> Vec<String> {
    let holds = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
        })
    };
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| words.iter().any(|word| holds(line, word)))
        .map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
        .collect()
}

/// Lines of a lockfile that name a source of their own.
fn foreign_sources(file: &File) -> Vec<String> {
    let is_foreign: fn(&str) -> bool = if file.path.ends_with("Cargo.lock") {
        |line| line.starts_with("source = ") && line != CRATES_IO
    } else if file.path.ends_with("package-lock.json") {
        |line| line.trim_start().starts_with("\"resolved\"")
    } else {
        return Vec::new();
    };
    let lines = file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| is_foreign(line));
    lines
        .map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<String> = Vec::new();

    #[test]
    fn every_rust_file_opens_with_its_docs() {
        assert_eq!(check_heads(), NONE);
    }

    #[test]
    fn no_rust_file_passes_800_lines() {
        assert_eq!(check_lengths(), NONE);
    }

    #[test]
    fn nothing_is_left_to_be_done_later() {
        assert_eq!(check_markers(), NONE);
    }

    #[test]
    fn unsafe_code_is_in_one_module() {
        assert_eq!(check_unsafe(), NONE);
    }

    #[test]
    fn no_place_of_a_machine_is_named() {
        assert_eq!(check_places(), NONE);
    }

    #[test]
    fn lockfiles_name_no_host_of_their_own() {
        assert_eq!(check_lockfiles(), NONE);
    }

    #[test]
    fn a_word_is_found_with_its_line_but_not_inside_another_word() {
        let text = format!(
            "fine\n// {}: later\nMETHOD_{}S\n{}a\n",
            MARKERS[0], MARKERS[0], FOLDERS[0]
        );
        let file = File {
            path: "a.rs".to_owned(),
            text,
        };
        assert_eq!(
            lines_with(&file, &MARKERS),
            [format!("a.rs:2: // {}: later", MARKERS[0])]
        );
        assert_eq!(
            lines_with(&file, &FOLDERS),
            [format!("a.rs:4: {}a", FOLDERS[0])]
        );
    }

    #[test]
    fn a_foreign_source_in_a_lockfile_is_found() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let cargo = format!("{CRATES_IO}\nsource = \"registry+https://mirror.example\"\n");
        assert_eq!(foreign_sources(&file("Cargo.lock", &cargo)).len(), 1);
        let npm = "  \"resolved\": \"https://mirror.example/a.tgz\",\n  \"integrity\": \"x\"\n";
        assert_eq!(
            foreign_sources(&file("tests/package-lock.json", npm)).len(),
            1
        );
        assert_eq!(foreign_sources(&file("notes.md", npm)).len(), 0);
    }
}
