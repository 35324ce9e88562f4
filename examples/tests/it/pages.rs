//! The programs of README.md and of the guide compile in a fresh package with the README's Cargo.toml, and do what their
//! page says.
//!
//! A page may add dependencies of its own by a `toml` block. What has `#[tokio::test]` is a file of tests, and is run. The git dependencies become paths, everything else stays as
//! the reader copies it. Whole programs become a binary each; the pieces without `main` share one, as files of their own,
//! so that dozens of them need one link.

mod commands;
mod package;
mod page;

use std::path::Path;

use bellwether_testkit::Program;

use commands::{answer, differences};
use package::Package;
use page::{Console, Page};

/// Where a program listens that its reader has started; in a test it has a port of its own.
const SHOWN_URL: &str = "http://127.0.0.1:8000";

/// The top of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the examples lie in a folder of the workspace")
}

/// README.md first, whose Cargo.toml all pages share, then the guide by name.
fn pages() -> Vec<Page> {
    let guide = std::fs::read_dir(root().join("docs/guide")).expect("there is a guide");
    let mut paths: Vec<String> = guide
        .map(|entry| entry.expect("a folder can be read").file_name())
        .filter_map(|name| Some(format!("docs/guide/{}", name.to_str()?)))
        .filter(|path| path.ends_with(".md"))
        .collect();
    paths.sort();
    paths.insert(0, "README.md".to_owned());
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).expect("a page can be read");
        Page::read(&path, &text)
    };
    paths.into_iter().map(read).collect()
}

#[tokio::test]
async fn every_program_of_the_pages_compiles_and_says_what_its_page_says() {
    let pages = pages();
    let package = Package::write(&pages);
    package.build().await;
    let pieces = package.run_pieces().await;
    assert!(pieces > 20, "the pages have many pieces: {pieces}");

    let mut consoles = 0;
    for page in &pages {
        for console in &page.consoles {
            let Some(program) = &console.program else {
                continue;
            };
            consoles += 1;
            let program = Program::start(package.binary(program), &[]).await;
            let wrong = wrong_answers(console, program).await;
            assert!(wrong.is_empty(), "{}:{}\n{wrong}", page.path, console.line);
        }
    }
    assert!(consoles > 0, "README shows the answer of its first program");
}

/// Runs each command of a block against its program, and says what it answered otherwise than shown.
async fn wrong_answers(console: &Console, mut program: Program) -> String {
    let mut wrong = String::new();
    for command in &console.commands {
        if command.line == "cargo run" {
            let last = command.shown.lines().last().unwrap_or_default();
            program.wait_for_line(last.trim()).await;
            let printed: Vec<String> = program.lines();
            let printed = printed.join("\n").replace(program.url(), SHOWN_URL);
            wrong += &differences(&command.shown, &printed);
            continue;
        }
        let answer = answer(&command.line.replace(SHOWN_URL, program.url())).await;
        if !answer.succeeded {
            wrong += &format!("$ {} fails\n", command.line);
        }
        wrong += &differences(&command.shown, &answer.out);
    }
    wrong
}

#[test]
fn each_crate_in_a_program_is_in_the_cargo_toml_that_its_reader_has() {
    let pages = pages();
    let wrong: Vec<String> = pages
        .iter()
        .flat_map(|page| page.undeclared(&pages[0]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
