//! What the body of a function shows of a mistake that rustc would explain by something else.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Error, ItemFn, Result};

/// Refuses a `yield` outside `stream!`, and a `?` in the `stream!` of a function whose items are no results.
pub(crate) fn check_body(function: &ItemFn) -> Result<()> {
    let output = function.sig.output.to_token_stream();
    let body = Body {
        streams_plain_items: mentions(&output, "Stream") && !mentions(&output, "Result"),
    };
    body.check(function.block.to_token_stream())
}

struct Body {
    /// The signature names the item of a stream, and it is no `Result`.
    streams_plain_items: bool,
}

impl Body {
    fn check(&self, tokens: TokenStream) -> Result<()> {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if let [
                TokenTree::Ident(name),
                TokenTree::Punct(bang),
                TokenTree::Group(group),
                ..,
            ] = &tokens[at..]
                && bang.as_char() == '!'
            {
                if name == "stream"
                    && self.streams_plain_items
                    && let Some(span) = question_mark(group.stream())
                {
                    return Err(Error::new(
                        span,
                        "`?` ends a stream with an error, so its items have to be results: \
                         use `try_stream!` and return `impl Stream<Item = Result<…, …>>`",
                    ));
                }
                at += 3;
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) if ident == "yield" => {
                    return Err(Error::new(
                        ident.span(),
                        "`yield` stands inside `stream!( … )`: let the body be \
                         `stream!( yield …; )` and return `impl Stream<Item = …>`",
                    ));
                }
                TokenTree::Group(group) => self.check(group.stream())?,
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }
}

/// The first `?` that belongs to the stream itself, not to a closure or a future within it.
fn question_mark(tokens: TokenStream) -> Option<Span> {
    let mut is_foreign = false;
    for token in tokens {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '?' => return Some(mark.span()),
            // What follows may be a closure's or a future's own.
            TokenTree::Punct(bar) if bar.as_char() == '|' => is_foreign = true,
            TokenTree::Ident(ident) if ident == "async" || ident == "fn" => is_foreign = true,
            TokenTree::Punct(end) if end.as_char() == ';' => is_foreign = false,
            TokenTree::Group(group) if is_foreign => {
                is_foreign = group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Group(group) => {
                if let Some(span) = question_mark(group.stream()) {
                    return Some(span);
                }
            }
            _ => {}
        }
    }
    None
}

fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        _ => false,
    })
}
