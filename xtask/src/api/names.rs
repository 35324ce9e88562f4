//! [`Names`]: what a path in the sources of a crate means, through imports and re-exports.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree, Visibility};

use super::sources::Module;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A place in this crate, from its root.
    Here(Vec<String>),
    /// A place in another crate, whose name comes first.
    Elsewhere(Vec<String>),
    /// A type parameter, a name of the prelude, or what a macro has made.
    Unknown,
}

/// One name of a `use`.
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
}

/// The names of a crate.
pub(super) struct Names<'a> {
    pub(super) root: &'a Module,
    modules: BTreeMap<Vec<String>, &'a Module>,
    others: BTreeSet<String>,
}

/// More steps than any chain of re-exports has; it ends circles.
const MAX_STEPS: usize = 20;

impl<'a> Names<'a> {
    /// `others` are the crates that this one depends on.
    pub(super) fn new(root: &'a Module, mut others: BTreeSet<String>) -> Self {
        others.extend(["std", "core", "alloc"].map(str::to_owned));
        let modules = root.all().into_iter();
        Self {
            root,
            modules: modules
                .map(|module| (module.path.clone(), module))
                .collect(),
            others,
        }
    }

    pub(super) fn module(&self, path: &[String]) -> Option<&'a Module> {
        self.modules.get(path).copied()
    }

    /// The items of this name in the module that the path names: a function and a macro may share one.
    pub(super) fn items(&self, path: &[String]) -> Vec<&'a Item> {
        let Some((name, module)) = path.split_last() else {
            return Vec::new();
        };
        let module = self.module(module);
        let items = module.into_iter().flat_map(|module| &module.items);
        items
            .filter(|item| defined_name(item).as_ref() == Some(name))
            .collect()
    }

    /// What a path that stands in this module leads to.
    pub(super) fn resolve(&self, module: &[String], path: &[String]) -> Target {
        self.resolve_within(module, path, MAX_STEPS)
    }

    fn resolve_within(&self, module: &[String], path: &[String], steps: usize) -> Target {
        let (Some((first, rest)), Some(steps)) = (path.split_first(), steps.checked_sub(1)) else {
            return Target::Unknown;
        };
        match first.as_str() {
            "crate" => return self.follow(&[], rest, steps),
            "self" => return self.follow(module, rest, steps),
            "super" => {
                let parent = &module[..module.len().saturating_sub(1)];
                // `super::super` goes on from there.
                return match rest.first().map(String::as_str) {
                    Some("super") => self.resolve_within(parent, rest, steps),
                    _ => self.follow(parent, rest, steps),
                };
            }
            _ => {}
        }
        match self.follow(module, path, steps) {
            Target::Unknown if self.others.contains(first) => Target::Elsewhere(path.to_vec()),
            target => target,
        }
    }

    /// Goes down from a module by names that are defined or imported there.
    fn follow(&self, module: &[String], path: &[String], steps: usize) -> Target {
        let Some((first, rest)) = path.split_first() else {
            return Target::Here(module.to_vec());
        };
        let Some(found) = self.module(module) else {
            return Target::Unknown;
        };
        let mut inner = module.to_vec();
        inner.push(first.clone());
        if found.children.contains_key(first) && !rest.is_empty() {
            return self.follow(&inner, rest, steps);
        }
        let is_defined = found
            .items
            .iter()
            .any(|item| defined_name(item).as_ref() == Some(first));
        if is_defined {
            inner.extend_from_slice(rest);
            return Target::Here(inner);
        }
        for import in imports(found) {
            let (is_named, mut target) = (import.name == *first, import.path);
            if import.name == "*" {
                target.push(first.clone());
            } else if !is_named {
                continue;
            }
            // An import of its own name would lead here again.
            if target == path {
                if is_named && self.others.contains(first) {
                    return Target::Elsewhere(target);
                }
                continue;
            }
            target.extend_from_slice(rest);
            match self.resolve_within(module, &target, steps.saturating_sub(1)) {
                Target::Unknown => {}
                target => return target,
            }
        }
        Target::Unknown
    }
}

/// The name that an item defines.
pub(super) fn defined_name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Mod(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// All names that a module imports.
pub(super) fn imports(module: &Module) -> Vec<Import> {
    let mut imports = Vec::new();
    for item in &module.items {
        if let Item::Use(item) = item {
            let is_public = matches!(item.vis, Visibility::Public(_));
            flatten(&item.tree, &mut Vec::new(), is_public, &mut imports);
        }
    }
    imports
}

fn flatten(tree: &UseTree, path: &mut Vec<String>, is_public: bool, imports: &mut Vec<Import>) {
    let mut add = |name: String, path: Vec<String>| {
        imports.push(Import {
            name,
            path,
            is_public,
        });
    };
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            flatten(&inner.tree, path, is_public, imports);
            path.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, path, is_public, imports);
            }
        }
        UseTree::Glob(_) => add("*".to_owned(), path.clone()),
        UseTree::Name(name) if name.ident == "self" => {
            add(path.last().cloned().unwrap_or_default(), path.clone());
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            add(name.clone(), [path.as_slice(), &[name]].concat());
        }
        UseTree::Rename(rename) => {
            let target = rename.ident.to_string();
            let target = match target.as_str() {
                "self" => path.clone(),
                _ => [path.as_slice(), &[target]].concat(),
            };
            add(rename.rename.to_string(), target);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn target(text: &str, path: &str) -> Target {
        let root = Module::parse(text, Path::new("/nowhere"), Vec::new());
        let names = Names::new(&root, ["bytes".to_owned()].into());
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        names.resolve(&["a".to_owned()], &path)
    }

    fn here(path: &str) -> Target {
        Target::Here(path.split("::").map(str::to_owned).collect())
    }

    #[test]
    fn a_path_is_followed_through_imports_to_where_the_item_stands() {
        let text = "mod a { pub use self::inner::Other as Name; use super::b::*; mod inner { pub struct Other; } \
            use bytes::Bytes; } mod b { pub use self::c::Deep; mod c { pub struct Deep; } }";
        assert_eq!(target(text, "Name"), here("a::inner::Other"));
        assert_eq!(target(text, "Deep"), here("b::c::Deep"));
        assert_eq!(target(text, "crate::b::Deep"), here("b::c::Deep"));
        let bytes = ["bytes", "Bytes"].map(str::to_owned).to_vec();
        assert_eq!(target(text, "Bytes"), Target::Elsewhere(bytes.clone()));
        assert_eq!(target(text, "bytes::Bytes"), Target::Elsewhere(bytes));
        assert_eq!(target(text, "T"), Target::Unknown);
    }
}
