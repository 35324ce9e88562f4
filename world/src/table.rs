//! [`Table`]: a table in Markdown, written between two markers of a docs file or compared with what is there.

use std::path::{Path, PathBuf};

use crate::options::Docs;

/// Rows of cells below a head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<I: Into<String>>(head: impl IntoIterator<Item = I>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing stay empty.
    pub(crate) fn row<I: Into<String>>(&mut self, cells: impl IntoIterator<Item = I>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// The table, each line with its end.
    pub(crate) fn markdown(&self) -> String {
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}{rows}", line(&self.head))
    }

    /// Prints the table, and compares or writes the docs; `false` if they differ or cannot be used.
    ///
    /// `docs` is a path below the root of the repository. `name` stands in the markers:
    /// `<!-- world: NAME -->` before the table and `<!-- end: NAME -->` behind it, each on a line of its own.
    pub(crate) fn publish(&self, docs: &str, name: &str, what: Docs) -> bool {
        println!("\n{}", self.markdown());
        match what {
            Docs::Check => said(docs, &self.check(&root().join(docs), name)),
            Docs::Leave | Docs::Write => publish(&self.markdown(), docs, name, what),
        }
    }

    /// Whether the docs have each row; versions in its first cell, such as a browser's, may differ.
    fn check(&self, path: &Path, name: &str) -> Result<(), String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let (_, there, _) = split(&text, name)?;
        let known: Vec<String> = there.lines().map(without_version).collect();
        let lines = self.rows.iter().map(|row| line(row));
        let new: String = lines
            .filter(|row| !known.contains(&without_version(row.trim_end())))
            .map(|row| format!("\n  {}", row.trim_end()))
            .collect();
        match new.is_empty() {
            true => Ok(()),
            false => Err(format!("the table {name:?} does not have:{new}")),
        }
    }
}

/// Compares or writes the docs: a text between markers, as [`Table::publish`] has them.
pub(crate) fn publish(text: &str, docs: &str, name: &str, what: Docs) -> bool {
    let path = root().join(docs);
    let outcome = match what {
        Docs::Leave => Ok(()),
        Docs::Write => write(&path, name, text),
        Docs::Check => check(&path, name, text),
    };
    said(docs, &outcome)
}

/// Prints what is wrong with a file of the docs. Returns whether nothing is.
fn said(docs: &str, outcome: &Result<(), String>) -> bool {
    if let Err(error) = outcome {
        println!("{docs}: {error}");
    }
    outcome.is_ok()
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A row without those words of its first cell that start with a digit.
fn without_version(row: &str) -> String {
    let cells = row.trim_start_matches("| ");
    let (first, rest) = cells.split_once(" | ").unwrap_or((cells, ""));
    let words = first.split(' ');
    let name: Vec<&str> = words
        .filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    format!("{} | {rest}", name.join(" "))
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the workspace")
}

/// Where this program keeps what it may lose: logs, profiles, databases.
pub(crate) fn scratch() -> PathBuf {
    root().join("target/world")
}

fn write(path: &Path, name: &str, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (before, _, after) = split(&text, name)?;
    std::fs::write(path, format!("{before}{table}{after}")).map_err(|error| error.to_string())
}

fn check(path: &Path, name: &str, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (_, there, _) = split(&text, name)?;
    let differing: Vec<String> = table
        .lines()
        .filter(|line| !there.lines().any(|other| other == *line))
        .map(|line| format!("\n  {line}"))
        .collect();
    match there == table {
        true => Ok(()),
        false => Err(format!(
            "the text {name:?} differs; new here:{}",
            differing.concat()
        )),
    }
}

/// The text up to and with the first marker, between the markers, and from the second on.
fn split<'t>(text: &'t str, name: &str) -> Result<(&'t str, &'t str, &'t str), String> {
    let first = format!("<!-- world: {name} -->\n");
    let last = format!("<!-- end: {name} -->");
    let start = text
        .find(&first)
        .map(|at| at + first.len())
        .ok_or_else(|| format!("there is no marker {:?}", first.trim_end()))?;
    let end = text[start..]
        .find(&last)
        .map(|at| start + at)
        .ok_or_else(|| format!("there is no marker {last:?}"))?;
    Ok((&text[..start], &text[start..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_whose_cells_cannot_break_it() {
        let mut table = Table::new(["client", "ids"]);
        table.row(["a | b"]);
        assert_eq!(
            table.markdown(),
            "| client | ids |\n|---|---|\n| a \\| b |  |\n"
        );
    }

    #[test]
    fn a_table_goes_between_its_markers_and_nowhere_else() {
        let text = "x\n<!-- world: a -->\nold\n<!-- end: a -->\ny\n";
        let parts = split(text, "a").expect("the markers are there");
        assert_eq!(
            parts,
            ("x\n<!-- world: a -->\n", "old\n", "<!-- end: a -->\ny\n")
        );
        assert!(split(text, "b").is_err());
        assert!(split("<!-- world: a -->\n", "a").is_err());
    }

    #[test]
    fn a_row_that_the_docs_do_not_have_is_told_whatever_the_version() {
        let folder = scratch().join("table-test");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let path = folder.join("docs.md");
        std::fs::write(&path, "<!-- world: a -->\n<!-- end: a -->\n").expect("it can be written");
        let mut table = Table::new(["client", "ids"]);
        table.row(["Chromium 156", "exact"]);
        let told = table.check(&path, "a");
        assert!(told.is_err_and(|error| error.ends_with("have:\n  | Chromium 156 | exact |")));
        write(&path, "a", &table.markdown()).expect("the markers are there");
        assert_eq!(table.check(&path, "a"), Ok(()));
        let mut part = Table::new(["client", "ids"]);
        part.row(["Chromium 157", "exact"]);
        assert_eq!(part.check(&path, "a"), Ok(()));
        part.row(["Chromium 157", "lost 1 of 20"]);
        assert!(part.check(&path, "a").is_err());
    }

    #[test]
    fn a_text_that_differs_is_told_with_its_new_lines() {
        let folder = scratch().join("text-test");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let path = folder.join("docs.md");
        std::fs::write(&path, "<!-- world: a -->\n<!-- end: a -->\n").expect("it can be written");
        assert!(check(&path, "a", "| x |\n").is_err_and(|error| error.ends_with("\n  | x |")));
        write(&path, "a", "| x |\n").expect("the markers are there");
        assert_eq!(check(&path, "a", "| x |\n"), Ok(()));
    }
}
