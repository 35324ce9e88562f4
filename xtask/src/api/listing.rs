//! The text of one crate's API: each public item under its public path, its signature without its body.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use syn::punctuated::Punctuated;
use syn::visit::Visit;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Type, Visibility};

use super::macros;
use super::names::{Names, Target, defined_name, imports};
use super::sources::{Module, attributes, is_left_out};

/// The API of a crate.
pub(super) struct Api {
    pub(super) name: String,
    pub(super) text: String,
    /// Types, traits and functions of other crates in it.
    pub(super) foreign: BTreeSet<String>,
}

/// Attributes that are part of what users see.
const SHOWN: [&str; 6] = [
    "derive",
    "non_exhaustive",
    "must_use",
    "deprecated",
    "cfg",
    "repr",
];

/// A public item as it is found.
struct Entry<'a> {
    item: &'a Item,
    /// Where it is defined, from the crate's root.
    defined_at: Vec<String>,
}

/// Lists the API. `family` are the crates of this workspace, which have lists of their own.
pub(super) fn list(name: &str, names: &Names<'_>, family: &BTreeSet<String>) -> Api {
    let mut public = Public {
        names,
        entries: BTreeMap::new(),
        others: BTreeSet::new(),
    };
    public.walk(names.root, &[]);

    let mut text = format!("The public items of {name}, written by `cargo xtask api`.\n");
    let mut foreign = Foreign {
        names,
        module: &[],
        family,
        found: BTreeSet::new(),
    };
    for line in &public.others {
        let _ = write!(text, "\n{line}\n");
    }
    for ((path, _), entry) in &public.entries {
        let Some(item) = bare(entry.item) else {
            continue;
        };
        let module = &entry.defined_at[..entry.defined_at.len().saturating_sub(1)];
        foreign.module = module;
        foreign.visit_item(&item);
        let printed = match &item {
            Item::Macro(item) => {
                let lines = macros::patterns(item.mac.tokens.clone()).join("\n");
                let name = item.ident.as_ref().map(ToString::to_string);
                format!("macro {} {{\n{lines}\n}}\n", name.unwrap_or_default())
            }
            _ => print(item.clone()),
        };
        let _ = write!(text, "\n// {path}\n{printed}");
    }

    let places: BTreeSet<&[String]> = public.places();
    let mut impls = BTreeSet::new();
    for module in names.root.all() {
        for item in &module.items {
            if let Item::Impl(item) = item
                && !is_left_out(&item.attrs)
                && is_public_impl(names, &module.path, item, &places)
                && let Some(item) = bare_impl(item)
            {
                foreign.module = &module.path;
                foreign.visit_item_impl(&item);
                impls.insert(print(Item::Impl(item)));
            }
        }
    }
    text.push_str("\n// Implementations\n");
    for printed in impls {
        let _ = write!(text, "\n{printed}");
    }
    let made: Vec<String> = names
        .root
        .all()
        .into_iter()
        .flat_map(macros::list)
        .collect();
    if !made.is_empty() {
        let _ = write!(
            text,
            "\n// What macros of the crate make\n\n{}\n",
            made.join("\n")
        );
    }
    Api {
        name: name.to_owned(),
        text,
        foreign: foreign.found,
    }
}

/// The public items that were found on the way through the modules.
struct Public<'a> {
    names: &'a Names<'a>,
    /// By public path and kind: a function and a macro may share a path.
    entries: BTreeMap<(String, u8), Entry<'a>>,
    /// Re-exports of what is defined elsewhere.
    others: BTreeSet<String>,
}

impl<'a> Public<'a> {
    fn walk(&mut self, module: &'a Module, public_path: &[String]) {
        for item in &module.items {
            let is_macro = matches!(item, Item::Macro(_)) && is_exported(attributes(item));
            let Some(name) = defined_name(item).filter(|_| is_macro || is_public(item)) else {
                continue;
            };
            self.add(
                &[&module.path[..], std::slice::from_ref(&name)].concat(),
                public_path,
                &name,
            );
        }
        // Macros that are exported stand at the root, wherever they are defined.
        if public_path.is_empty() {
            for inner in self.names.root.all() {
                for item in &inner.items {
                    let is_macro = matches!(item, Item::Macro(_)) && is_exported(attributes(item));
                    if let Some(name) = defined_name(item).filter(|_| is_macro) {
                        self.add(
                            &[&inner.path[..], std::slice::from_ref(&name)].concat(),
                            &[],
                            &name,
                        );
                    }
                }
            }
        }
        for import in imports(module) {
            if !import.is_public || is_hidden_import(module, &import.path) {
                continue;
            }
            match self.names.resolve(&module.path, &import.path) {
                Target::Here(place) if import.name == "*" => {
                    if let Some(module) = self.names.module(&place) {
                        self.walk(module, public_path);
                    }
                }
                Target::Here(place) => self.add(&place, public_path, &import.name),
                Target::Elsewhere(place) => self.re_export(public_path, &import.name, &place),
                Target::Unknown => self.made_by_macro(public_path, &import.name),
            }
        }
    }

    fn add(&mut self, place: &[String], public_path: &[String], name: &str) {
        let path = [public_path, &[name.to_owned()]].concat();
        for item in self.names.items(place) {
            if is_left_out(attributes(item)) {
                continue;
            }
            if let Item::Mod(_) = item {
                if let Some(module) = self.names.module(place) {
                    self.walk(module, &path);
                }
                continue;
            }
            let kind = match item {
                Item::Fn(_) => 1,
                Item::Macro(_) => 2,
                _ => 0,
            };
            let entry = Entry {
                item,
                defined_at: place.to_vec(),
            };
            self.entries.insert((path.join("::"), kind), entry);
        }
    }

    fn re_export(&mut self, public_path: &[String], name: &str, place: &[String]) {
        let public = [public_path, &[name.to_owned()]].concat().join("::");
        self.others
            .insert(format!("// {public}\npub use {};", place.join("::")));
    }

    fn made_by_macro(&mut self, public_path: &[String], name: &str) {
        let public = [public_path, &[name.to_owned()]].concat().join("::");
        self.others.insert(format!(
            "// {public}\n// A macro of this crate makes it: see the end."
        ));
    }

    fn places(&self) -> BTreeSet<&[String]> {
        let entries = self.entries.values();
        entries.map(|entry| entry.defined_at.as_slice()).collect()
    }
}

fn is_public(item: &Item) -> bool {
    let visibility = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        _ => return false,
    };
    matches!(visibility, Visibility::Public(_)) && !is_left_out(attributes(item))
}

fn is_exported(attributes: &[Attribute]) -> bool {
    let mut paths = attributes.iter().map(Attribute::path);
    paths.any(|path| path.is_ident("macro_export")) && !is_left_out(attributes)
}

/// Whether the name comes in by a `use` that is hidden or for tests.
fn is_hidden_import(module: &Module, path: &[String]) -> bool {
    let hidden = module
        .items
        .iter()
        .filter(|item| is_left_out(attributes(item)));
    let hidden: Vec<Item> = hidden.cloned().collect();
    let module = Module {
        path: Vec::new(),
        items: hidden,
        children: BTreeMap::new(),
    };
    imports(&module).iter().any(|import| import.path == path)
}

/// Whether users see an implementation: of a public type, or of a public trait of this crate for a type of another.
fn is_public_impl(
    names: &Names<'_>,
    module: &[String],
    item: &ItemImpl,
    places: &BTreeSet<&[String]>,
) -> bool {
    let place = |path: &syn::Path| match names.resolve(module, &segments(path)) {
        Target::Here(place) => Some(place),
        Target::Elsewhere(_) | Target::Unknown => None,
    };
    let of_trait = item.trait_.as_ref().and_then(|(_, path, _)| place(path));
    let of_type = type_path(&item.self_ty).and_then(place);
    let is_known = |place: &Vec<String>| places.contains(place.as_slice());
    let is_hidden = |place: &Option<Vec<String>>| place.as_ref().is_some_and(|p| !is_known(p));
    let is_shown = |place: &Option<Vec<String>>| place.as_ref().is_some_and(is_known);
    !is_hidden(&of_trait) && !is_hidden(&of_type) && (is_shown(&of_trait) || is_shown(&of_type))
}

/// The path of a type, through references and smart pointers by name only.
fn type_path(of: &Type) -> Option<&syn::Path> {
    match of {
        Type::Path(path) => Some(&path.path),
        Type::Reference(reference) => type_path(&reference.elem),
        Type::Paren(inner) => type_path(&inner.elem),
        Type::Group(inner) => type_path(&inner.elem),
        _ => None,
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

/// The item without documentation, bodies and private parts; `None` for what is listed in another way.
fn bare(item: &Item) -> Option<Item> {
    let mut item = item.clone();
    match &mut item {
        Item::Const(item) => keep_shown(&mut item.attrs),
        Item::Static(item) => keep_shown(&mut item.attrs),
        Item::Type(item) => keep_shown(&mut item.attrs),
        Item::Enum(item) => {
            keep_shown(&mut item.attrs);
            for variant in &mut item.variants {
                keep_shown(&mut variant.attrs);
                for field in &mut variant.fields {
                    keep_shown(&mut field.attrs);
                }
            }
        }
        Item::Fn(item) => {
            keep_shown(&mut item.attrs);
            item.block = syn::parse_quote!({});
            plain_arguments(&mut item.sig);
        }
        Item::Struct(item) => {
            keep_shown(&mut item.attrs);
            hide_private(&mut item.fields);
        }
        Item::Union(item) => keep_shown(&mut item.attrs),
        Item::Trait(item) => {
            keep_shown(&mut item.attrs);
            item.items.retain_mut(bare_trait_item);
        }
        Item::Macro(_) => {}
        _ => return None,
    }
    Some(item)
}

fn bare_trait_item(item: &mut TraitItem) -> bool {
    let attributes = match item {
        TraitItem::Const(item) => &mut item.attrs,
        TraitItem::Type(item) => &mut item.attrs,
        TraitItem::Fn(item) => {
            if let Some(body) = &mut item.default {
                *body = syn::parse_quote!({ .. });
            }
            &mut item.attrs
        }
        _ => return true,
    };
    let is_shown = !is_left_out(attributes);
    keep_shown(attributes);
    is_shown
}

/// The header of an implementation, with the public items of an inherent one and the types of a trait's.
fn bare_impl(item: &ItemImpl) -> Option<ItemImpl> {
    let mut item = item.clone();
    keep_shown(&mut item.attrs);
    let is_inherent = item.trait_.is_none();
    item.items.retain_mut(|inner| match inner {
        ImplItem::Fn(function) => {
            let is_shown = matches!(function.vis, Visibility::Public(_));
            let is_shown = is_shown && is_inherent && !is_left_out(&function.attrs);
            keep_shown(&mut function.attrs);
            function.block = syn::parse_quote!({});
            plain_arguments(&mut function.sig);
            is_shown
        }
        ImplItem::Const(constant) => {
            let is_shown = matches!(constant.vis, Visibility::Public(_));
            let is_shown = is_shown && is_inherent && !is_left_out(&constant.attrs);
            keep_shown(&mut constant.attrs);
            is_shown
        }
        ImplItem::Type(of) => {
            keep_shown(&mut of.attrs);
            true
        }
        _ => true,
    });
    (!is_inherent || !item.items.is_empty()).then_some(item)
}

fn keep_shown(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| SHOWN.iter().any(|shown| attribute.path().is_ident(shown)));
    for attribute in attributes {
        // Their words are documentation.
        if attribute.path().is_ident("must_use") || attribute.path().is_ident("deprecated") {
            attribute.meta = syn::Meta::Path(attribute.path().clone());
        }
    }
}

/// Leaves of the private fields only that there are some.
fn hide_private(fields: &mut Fields) {
    let is_private = |field: &syn::Field| !matches!(field.vis, Visibility::Public(_));
    match fields {
        Fields::Named(named) => {
            let has_private = named.named.iter().any(is_private);
            let mut kept: Punctuated<_, _> = std::mem::take(&mut named.named)
                .into_iter()
                .filter(|field| !is_private(field))
                .collect();
            for field in &mut kept {
                keep_shown(&mut field.attrs);
            }
            if has_private {
                let private: syn::FieldsNamed = syn::parse_quote!({ private: _ });
                kept.extend(private.named);
            }
            named.named = kept;
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                keep_shown(&mut field.attrs);
                if is_private(field) {
                    field.ty = syn::parse_quote!(_);
                }
            }
        }
        Fields::Unit => {}
    }
}

/// Without `mut`, which is the function's own business.
fn plain_arguments(signature: &mut syn::Signature) {
    for argument in &mut signature.inputs {
        match argument {
            syn::FnArg::Receiver(receiver) if receiver.reference.is_none() => {
                receiver.mutability = None;
            }
            syn::FnArg::Receiver(_) => {}
            syn::FnArg::Typed(argument) => {
                if let syn::Pat::Ident(name) = &mut *argument.pat {
                    name.mutability = None;
                }
            }
        }
    }
}

/// The item as source, with `;` for an empty body.
fn print(item: Item) -> String {
    let file = syn::File {
        shebang: None,
        attrs: Vec::new(),
        items: vec![item],
    };
    let mut text = String::new();
    for line in prettyplease::unparse(&file).lines() {
        let line = match line.strip_suffix(" {}") {
            Some(head) => format!("{head};"),
            None => line.to_owned(),
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Finds the paths of other crates in signatures.
struct Foreign<'a, 'n> {
    names: &'n Names<'a>,
    module: &'n [String],
    family: &'n BTreeSet<String>,
    found: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Foreign<'_, '_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Target::Elsewhere(place) = self.names.resolve(self.module, &segments(path)) {
            let of_std = ["std", "core", "alloc"].contains(&place[0].as_str());
            if !of_std && !self.family.contains(&place[0]) {
                // What follows a type or trait is one of its own items.
                let end = place
                    .iter()
                    .position(|name| name.starts_with(char::is_uppercase));
                let end = end.map_or(place.len(), |end| end + 1);
                self.found.insert(place[..end].join("::"));
            }
        }
        syn::visit::visit_path(self, path);
    }

    // An attribute is no part of a signature.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
