//! The pages for readers lead somewhere: each relative link is a file or a folder of the repository.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_relative_link_of_the_pages_leads_to_a_file() {
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
        let targets = text.split("](").skip(1).filter_map(|rest| {
            let (target, _) = rest.split_once(')')?;
            let target = target.split('#').next()?;
            (!target.is_empty() && !target.contains(':')).then_some(target)
        });
        for target in targets {
            if !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The Markdown files of one folder.
fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    pages.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
}
