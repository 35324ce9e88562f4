//! [`Module`]: the sources of a crate as a tree of modules, without what only tests and tools see.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::{Attribute, Item};

/// A module and what stands in it.
pub(super) struct Module {
    /// From the crate's root, which has an empty path.
    pub(super) path: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) children: BTreeMap<String, Module>,
}

impl Module {
    /// The library whose `lib.rs` is in this folder, if there is one.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("lib.rs")).ok()?;
        Some(Self::parse(&text, folder, Vec::new()))
    }

    /// `folder` is where files of child modules are.
    ///
    /// # Panics
    ///
    /// When the text is not Rust; the compiler says more about it.
    pub(super) fn parse(text: &str, folder: &Path, path: Vec<String>) -> Self {
        let file = syn::parse_file(text)
            .unwrap_or_else(|error| panic!("cannot read module {path:?}: {error}"));
        Self::of_items(file.items, folder, path)
    }

    fn of_items(items: Vec<Item>, folder: &Path, path: Vec<String>) -> Self {
        let mut children = BTreeMap::new();
        let mut own = Vec::new();
        for item in items.into_iter().flat_map(unprojected) {
            if is_left_out(attributes(&item)) {
                continue;
            }
            if let Item::Mod(module) = &item {
                let name = module.ident.to_string();
                let mut inner = path.clone();
                inner.push(name.clone());
                let folder = folder.join(&name);
                let child = match &module.content {
                    Some((_, items)) => Self::of_items(items.clone(), &folder, inner),
                    None => {
                        let beside = folder.with_extension("rs");
                        let text = fs::read_to_string(beside)
                            .or_else(|_| fs::read_to_string(folder.join("mod.rs")))
                            .unwrap_or_default();
                        Self::parse(&text, &folder, inner)
                    }
                };
                children.insert(name, child);
            }
            own.push(item);
        }
        Self {
            path,
            items: own,
            children,
        }
    }

    /// This module and all below it.
    pub(super) fn all(&self) -> Vec<&Self> {
        let below = self.children.values().flat_map(Self::all);
        std::iter::once(self).chain(below).collect()
    }
}

/// The type in a `pin_project!`, which leaves it as it is; any other item as it stands.
fn unprojected(item: Item) -> Vec<Item> {
    if let Item::Macro(project) = &item
        && project.mac.path.is_ident("pin_project")
        && let Ok(file) = syn::parse2::<syn::File>(project.mac.tokens.clone())
    {
        return file.items;
    }
    vec![item]
}

/// Whether no user of the crate sees it: hidden from the documentation, or for tests and tools.
pub(super) fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let inside = list.tokens.to_string();
        if attribute.path().is_ident("doc") {
            return inside == "hidden";
        }
        attribute.path().is_ident("cfg")
            && ["test", "fuzzing", "doctest", "loom"].contains(&inside.as_str())
    })
}

/// The attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
