//! Words and turns of phrase at which a reader stumbles, each with a better one.
//!
//! Checked are Markdown and the docs of Rust code. A phrase is found across line breaks and in any case, as whole words. A block of code is no prose.

use crate::workspace::{self, File};

/// Phrases that are not used, and what to write instead.
const PHRASES: [(&str, &str); 16] = [
    ("for ever", "without an end, for good"),
    ("so many", "the number"),
    ("is told of", "learns of, gets"),
    ("are told of", "learn of, get"),
    ("belongs into", "belongs in"),
    ("belong into", "belong in"),
    ("puts nobody out", "disconnects no client"),
    ("keeps idle streams busy", "keeps idle streams alive"),
    ("whoever", "a reader who, anyone who"),
    ("says 204 to", "answers 204 to"),
    ("the begin of", "the start of"),
    ("its begin", "its start"),
    ("their begin", "their start"),
    ("'s begin", "'s start"),
    ("nobody", "no one, or name who"),
    ("anew", "again"),
];

pub(super) fn check() -> Vec<String> {
    let files = workspace::files();
    files.iter().flat_map(stumbles).collect()
}

/// `path:line: "phrase": say better` of each place.
fn stumbles(file: &File) -> Vec<String> {
    let prose = match file.has_extension(&["md"]) {
        true => Prose::of_markdown(&file.text),
        false if file.has_extension(&["rs"]) => Prose::of_rust(&file.text),
        false => return Vec::new(),
    };
    let mut found: Vec<(usize, String)> = PHRASES
        .iter()
        .flat_map(|(phrase, better)| {
            let lines = prose.lines_with(phrase);
            lines.map(move |line| {
                (
                    line,
                    format!("{}:{line}: \"{phrase}\": say {better}", file.path),
                )
            })
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

/// Text without code, on one line and in lower case.
#[derive(Default)]
struct Prose {
    text: String,
    /// Where each line of the file begins in the text, and its number.
    lines: Vec<(usize, usize)>,
    is_code: bool,
}

impl Prose {
    fn of_markdown(text: &str) -> Self {
        let mut prose = Self::default();
        for (at, line) in text.lines().enumerate() {
            prose.push(at + 1, line);
        }
        prose
    }

    /// The doc comments.
    fn of_rust(text: &str) -> Self {
        let mut prose = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_start();
            match line
                .strip_prefix("//!")
                .or_else(|| line.strip_prefix("///"))
            {
                Some(line) => prose.push(at + 1, line),
                // Two comments are no sentence.
                None => prose.text.push('\n'),
            }
        }
        prose
    }

    fn push(&mut self, number: usize, line: &str) {
        let line = line.trim();
        if line.starts_with("```") {
            self.is_code = !self.is_code;
        } else if !self.is_code {
            self.lines.push((self.text.len(), number));
            self.text.push_str(&line.to_lowercase());
            self.text.push(' ');
        }
    }

    /// The lines on which the phrase begins, as whole words.
    fn lines_with<'a>(&'a self, phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let places = self.text.match_indices(phrase).map(|(at, _)| at);
        let whole = places.filter(move |at| {
            let before = self.text[..*at].ends_with(is_word) && phrase.starts_with(is_word);
            let after = self.text[at + phrase.len()..].starts_with(is_word);
            !before && !after
        });
        whole.map(|at| {
            let line = self.lines.partition_point(|(start, _)| *start <= at);
            self.lines[line.saturating_sub(1)].1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn no_page_makes_its_reader_stumble() {
        assert_eq!(check(), Vec::<String>::new());
    }

    #[test]
    fn a_phrase_is_found_over_a_line_break_with_its_line_and_a_better_one() {
        let page = file(
            "a.md",
            "# A\nEach reader is told\nof it, for every event.\n```\nfor ever\n```\nFor ever.\n",
        );
        assert_eq!(
            stumbles(&page),
            [
                "a.md:2: \"is told of\": say learns of, gets",
                "a.md:7: \"for ever\": say without an end, for good"
            ]
        );
    }

    #[test]
    fn begin_is_a_verb() {
        let page = file(
            "a.md",
            "Begin here. It begins; the beginning of it; its beginning.\n",
        );
        assert_eq!(stumbles(&page), Vec::<String>::new());
        let page = file("a.md", "the begin of a log, its begin, the log's begin\n");
        assert_eq!(stumbles(&page).len(), 3);
    }

    #[test]
    fn docs_of_rust_code_are_prose_and_its_other_lines_are_not() {
        let code = file(
            "a.rs",
            "/// Made anew.\nlet anew = 1; // anew\n/// ```\n/// anew();\n/// ```\n",
        );
        assert_eq!(stumbles(&code), ["a.rs:1: \"anew\": say again"]);
    }
}
