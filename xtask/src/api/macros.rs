//! What macros of a crate make, for a reader who cannot expand them: their definitions and uses as tokens.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Item;

use super::sources::Module;

/// The definitions of macros that make items in this module, without the bodies of functions, and their uses.
pub(super) fn list(module: &Module) -> Vec<String> {
    let mut lines = Vec::new();
    let definitions = module.items.iter().filter_map(|item| match item {
        Item::Macro(item) => Some((item.ident.as_ref()?, &item.mac.tokens)),
        _ => None,
    });
    for (name, definition) in definitions {
        let uses = module.items.iter().filter_map(|item| match item {
            Item::Macro(item) if item.ident.is_none() => Some(&item.mac),
            _ => None,
        });
        let mut uses = uses.filter(|used| used.path.is_ident(name)).peekable();
        if uses.peek().is_some() {
            lines.push(format!("macro_rules! {name} {{"));
            lines.extend(text(definition.clone()));
            lines.push("}".to_owned());
        }
        for used in uses {
            let tokens = without_bodies_and_docs(used.tokens.clone());
            lines.push(format!("{name}! {{ {} }}", squeezed(&tokens.to_string())));
        }
    }
    lines
}

/// A definition of a macro that users call, with its patterns alone.
pub(super) fn patterns(tokens: TokenStream) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_pattern = matches!(&tokens.peek(), Some(TokenTree::Punct(p)) if p.as_char() == '=');
        if let (TokenTree::Group(pattern), true) = (token, is_pattern) {
            lines.push(format!(
                "    ({}) => ..;",
                squeezed(&pattern.stream().to_string())
            ));
        }
    }
    lines
}

/// Tokens as indented lines: one for each piece that ends with `;`, or begins or ends a block.
fn text(tokens: TokenStream) -> Vec<String> {
    let mut lines = Vec::new();
    write(without_bodies_and_docs(tokens), 1, &mut lines);
    lines
}

fn write(tokens: TokenStream, depth: usize, lines: &mut Vec<String>) {
    let mut piece = TokenStream::new();
    let indent = "    ".repeat(depth);
    let end = |piece: &mut TokenStream, tail: &str, lines: &mut Vec<String>| {
        let text = squeezed(&std::mem::take(piece).to_string());
        if !text.is_empty() || !tail.is_empty() {
            lines.push(format!("{indent}{text}{tail}"));
        }
    };
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                end(&mut piece, " {", lines);
                write(group.stream(), depth + 1, lines);
                end(&mut piece, "}", lines);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => end(&mut piece, ";", lines),
            token => piece.extend([token]),
        }
    }
    end(&mut piece, "", lines);
}

/// Without documentation, and with `..` for the body of each function.
fn without_bodies_and_docs(tokens: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    let mut is_in_signature = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let is_doc =
                    matches!(tokens.peek(), Some(TokenTree::Group(group)) if is_doc(group));
                match is_doc {
                    true => drop(tokens.next()),
                    false => out.extend([TokenTree::Punct(punct)]),
                }
            }
            TokenTree::Ident(ident) if ident == "fn" => {
                // `Fn(..)` and pointers have no body; a semicolon ends their wait for one.
                is_in_signature = true;
                out.extend([TokenTree::Ident(ident)]);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                is_in_signature = false;
                out.extend([TokenTree::Punct(punct)]);
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && is_in_signature => {
                is_in_signature = false;
                let semicolon = proc_macro2::Punct::new(';', proc_macro2::Spacing::Alone);
                out.extend([TokenTree::Punct(semicolon)]);
            }
            TokenTree::Group(group) => {
                let inner = without_bodies_and_docs(group.stream());
                out.extend([TokenTree::Group(proc_macro2::Group::new(
                    group.delimiter(),
                    inner,
                ))]);
            }
            token => out.extend([token]),
        }
    }
    out
}

fn is_doc(group: &proc_macro2::Group) -> bool {
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(ident)) if ident == "doc" || ident == "diagnostic" || ident == "allow")
}

/// Without the spaces that tokens have around them where people write none.
fn squeezed(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (wide, narrow) in [
        (" :: ", "::"),
        (" ,", ","),
        (" ;", ";"),
        ("$ ", "$"),
        (" : ", ": "),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" !", "!"),
        ("# [", "#["),
    ] {
        text = text.replace(wide, narrow);
    }
    text
}
