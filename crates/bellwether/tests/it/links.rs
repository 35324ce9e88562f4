//! The pages for readers lead somewhere: each relative link is a file or a folder of the repository, and a heading of that file.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_relative_link_of_the_pages_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = Vec::new();
    collect(&root, &mut pages);
    collect(&root.join("docs"), &mut pages);
    collect(&root.join("docs/guide"), &mut pages);
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        collect(&entry.unwrap().path(), &mut pages);
    }
    assert!(pages.iter().any(|page| page.ends_with("README.md")));

    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1);
        let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
        for target in targets.filter(|target| !target.contains(':')) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let leads_somewhere = match anchor {
                "" => file.exists(),
                anchor => fs::read_to_string(&file).is_ok_and(|text| has_heading(&text, anchor)),
            };
            if !leads_somewhere {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether a heading of the page has this anchor, as GitHub makes it.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let heading = heading.replace(' ', "-");
        heading.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
    });
    anchors.any(|heading| heading == anchor)
}

/// The Markdown files of one folder.
fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    pages.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
}
