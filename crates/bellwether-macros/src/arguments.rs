//! What stands between the parentheses of `#[get("/path", state = AppState)]`.

use proc_macro2::Span;
use syn::{
    Error, LitStr, Result, Token, Type,
    parse::{Parse, ParseStream},
};

/// A checked path and the state type, if one is named.
pub(crate) struct Arguments {
    pub(crate) path: LitStr,
    pub(crate) state: Option<Type>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Err(Error::new(
                Span::call_site(),
                "the path is missing: write it as in `#[get(\"/events\")]`",
            ));
        }
        let path: LitStr = input.parse().map_err(|error| {
            Error::new(
                error.span(),
                "the path must be a string literal, such as \"/events\"",
            )
        })?;
        check_path(&path)?;
        let mut state = None;
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let name: syn::Ident = input.parse()?;
            if name != "state" || state.is_some() {
                return Err(Error::new(
                    name.span(),
                    "after the path only one `state = Type` is allowed",
                ));
            }
            input.parse::<Token![=]>()?;
            state = Some(input.parse()?);
        }
        Ok(Self { path, state })
    }
}

/// Refuses what axum's router would panic on when the program starts.
fn check_path(path: &LitStr) -> Result<()> {
    let text = path.value();
    let fault = if !text.starts_with('/') {
        Some(format!("the path must begin with `/`: \"/{text}\""))
    } else {
        text.split('/').skip(1).find_map(check_segment)
    };
    fault.map_or(Ok(()), |message| Err(Error::new(path.span(), message)))
}

/// One segment of a path: literal text, with at most one `{name}` or `{*name}`; `{{` and `}}` are text.
fn check_segment(segment: &str) -> Option<String> {
    if let Some(name) = segment.strip_prefix(':') {
        return Some(format!("a capture is written `{{{name}}}`, not `:{name}`"));
    }
    if let Some(name) = segment.strip_prefix('*') {
        return Some(format!(
            "a capture of the rest is written `{{*{name}}}`, not `*{name}`"
        ));
    }
    let text = segment.replace("{{", "").replace("}}", "");
    let unbalanced = text.matches('{').count() != text.matches('}').count();
    (unbalanced || text.contains("{}")).then(|| {
        format!("`{segment}` is not a capture: write `{{name}}`, or `{{{{` for a literal brace")
    })
}
