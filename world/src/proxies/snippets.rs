//! The configurations of the docs: the files that the run has tried, word for word.

use super::kinds::KINDS;
use crate::options::Docs;
use crate::table::{publish as publish_text, root};

/// Compares or writes the recommended file of each proxy in the docs; `false` if one differs.
pub(super) fn publish(docs: &str, what: Docs) -> bool {
    let mut is_good = true;
    for kind in KINDS {
        match kind.text(&root().join("world/proxies/recommended")) {
            Ok(text) => is_good &= publish_text(&block(&text), docs, kind.file, what),
            Err(error) => {
                println!("{error}");
                is_good = false;
            }
        }
    }
    is_good
}

/// A file as a block of Markdown.
fn block(text: &str) -> String {
    format!("```text\n{}\n```\n", text.trim_end().replace('\t', "    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_have_the_files_that_are_tried() {
        assert!(publish(super::super::DOCS, Docs::Check));
    }

    #[test]
    fn a_file_is_a_block_without_tabs() {
        assert_eq!(block("a {\n\tb\n}\n"), "```text\na {\n    b\n}\n```\n");
    }
}
