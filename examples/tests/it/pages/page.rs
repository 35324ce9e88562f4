//! A page of Markdown: its programs, its dependencies, and what its commands answer.

/// Under which a manifest names other crates.
pub(super) const HEADINGS: [&str; 2] = ["[dependencies]", "[dev-dependencies]"];

/// A page, as far as the reader copies from it.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Its path from the top of the workspace.
    pub(super) path: String,
    /// The `toml` blocks that have dependencies, one after the other.
    pub(super) manifest: Option<String>,
    pub(super) programs: Vec<Code>,
    pub(super) consoles: Vec<Console>,
}

/// A block of Rust that is meant to compile.
#[derive(Debug, PartialEq)]
pub(super) struct Code {
    /// From the page and the number of its program, such as `streams_2`. Without a line, so that an edit above it makes no
    /// further binary.
    pub(super) name: String,
    /// The line of its fence.
    pub(super) line: usize,
    pub(super) text: String,
    /// It has a `main` of its own.
    pub(super) is_whole: bool,
    /// It is a file below `tests/`.
    pub(super) is_test: bool,
    /// The page does not promise that it can be run anywhere.
    pub(super) is_run: bool,
}

/// A `console` block.
#[derive(Debug, PartialEq)]
pub(super) struct Console {
    /// Its line in the page.
    pub(super) line: usize,
    /// The last whole program before it, if it is the one that its commands ask.
    pub(super) program: Option<String>,
    pub(super) commands: Vec<Command>,
}

/// A line behind `$ ` and the lines that it is said to answer.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    pub(super) line: String,
    pub(super) shown: String,
}

impl Page {
    pub(super) fn read(path: &str, text: &str) -> Self {
        let stem = path.rsplit('/').next().unwrap_or(path);
        let stem = stem
            .trim_end_matches(".md")
            .replace('-', "_")
            .to_lowercase();
        let mut page = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for (line, kind, body) in blocks(text) {
            let mut words = kind.split(',');
            match words.next().unwrap_or_default() {
                "toml" if body.contains("dependencies]") => {
                    let manifest = page.manifest.get_or_insert_default();
                    manifest.push_str(&body);
                }
                // `ignore` is for rustdoc, which has the dependencies of one crate only.
                "rust" if !kind.contains("compile_fail") => {
                    page.programs.push(Code::new(
                        format!("{stem}_{}", page.programs.len() + 1),
                        line,
                        &body,
                        !words.any(|word| matches!(word, "no_run" | "ignore")),
                    ));
                }
                "console" => {
                    let last = page.programs.iter().rfind(|code| code.is_whole);
                    let commands = commands(&body);
                    // Other tools ask other programs, for example the command `bellwether`.
                    let asks = |command: &Command| {
                        command.line.starts_with("curl ") || command.line == "cargo run"
                    };
                    let program = last.filter(|_| commands.iter().all(asks));
                    page.consoles.push(Console {
                        line,
                        program: program.map(|code| code.name.clone()),
                        commands,
                    });
                }
                _ => {}
            }
        }
        page
    }

    /// The lines under a heading of the manifest, such as `[dependencies]`.
    pub(super) fn dependencies(&self, heading: &str) -> Vec<&str> {
        let mut is_under_it = false;
        let lines = self.manifest.as_deref().unwrap_or_default().lines();
        lines
            .filter(|line| {
                if line.starts_with('[') {
                    is_under_it = *line == heading;
                    return false;
                }
                is_under_it && !line.trim().is_empty() && !line.starts_with('#')
            })
            .collect()
    }

    /// Programs that name a crate which neither this page's manifest nor that of `first` has.
    pub(super) fn undeclared(&self, first: &Self) -> Vec<String> {
        let pages = [self, first].into_iter();
        let known: Vec<String> = pages
            .flat_map(|page| HEADINGS.map(|heading| page.dependencies(heading)))
            .flatten()
            .map(|line| crate_name(line).replace('-', "_"))
            .chain(["std", "self", "super", "crate"].map(str::to_owned))
            .collect();
        let mut wrong = Vec::new();
        for code in &self.programs {
            for line in code.text.lines() {
                let Some(path) = line.trim_start().strip_prefix("use ") else {
                    continue;
                };
                let name = path.split([':', ';', ' ']).next().unwrap_or(path);
                if !known.iter().any(|known| known == name) {
                    wrong.push(format!("{}:{}: uses {name}", self.path, code.line));
                }
            }
        }
        wrong
    }
}

/// `tokio` of `tokio = "1"`.
pub(super) fn crate_name(line: &str) -> &str {
    line.split('=').next().unwrap_or(line).trim()
}

impl Code {
    fn new(name: String, line: usize, body: &str, is_run: bool) -> Self {
        // rustdoc hides these lines from readers.
        let lines = body.lines().map(|line| match line {
            "#" => "",
            line => line.strip_prefix("# ").unwrap_or(line),
        });
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        Self {
            name,
            line,
            is_whole: text.contains("fn main()"),
            is_test: text.contains("#[tokio::test"),
            text,
            is_run,
        }
    }
}

/// Each fenced block: the line of its fence, what stands behind that, and its text.
fn blocks(text: &str) -> Vec<(usize, String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((at + 1, kind.trim().to_owned(), String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, _, body)), _) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

fn commands(body: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in body.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(line), _) => commands.push(Command {
                line: line.to_owned(),
                shown: String::new(),
            }),
            (None, Some(command)) => {
                command.shown.push_str(line);
                command.shown.push('\n');
            }
            (None, None) => {}
        }
    }
    commands
}

#[test]
fn a_page_is_read_as_its_reader_copies_it() {
    let text = "# A\n```toml\n[dependencies]\ntokio = \"1\"\n```\n\n```rust,no_run\n# use a::B;\nfn main() {}\n```\n\
        ```console\n$ curl -N http://127.0.0.1:8000/\ndata: 1\n\n$ curl x\n```\n```rust\nlet one = 1;\n```\n\
        ```rust,compile_fail\n?\n```\n```console\n$ bellwether listen\n```\n";
    let page = Page::read("docs/guide/a-b.md", text);
    assert_eq!(page.dependencies("[dependencies]"), ["tokio = \"1\""]);
    let whole = &page.programs[0];
    assert_eq!(
        (whole.name.as_str(), whole.is_whole, whole.is_run),
        ("a_b_1", true, false)
    );
    assert_eq!(whole.text, "use a::B;\nfn main() {}\n");
    assert_eq!(
        page.programs.len(),
        2,
        "what must not compile is no program"
    );
    assert!(!page.programs[1].is_whole);
    let first = &page.consoles[0];
    assert_eq!(first.program.as_deref(), Some("a_b_1"));
    assert_eq!(first.commands[0].shown, "data: 1\n\n");
    assert_eq!(page.consoles[1].program, None);
    assert_eq!(
        page.undeclared(&Page::default()),
        ["docs/guide/a-b.md:7: uses a"]
    );
}
