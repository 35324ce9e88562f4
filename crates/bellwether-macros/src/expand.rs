//! From the function under the attribute to a function of the same name that makes its route.
//!
//! It is a function and not a unit struct because a struct's name could not be a local variable any
//! more: with a route `events` in scope, `let events = …` would be a pattern that fails to match.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ItemFn, PathArguments, Result, Type,
    spanned::Spanned,
};

use crate::arguments::Arguments;
use crate::body::check_body;

/// Expands `#[method(arguments)] item`.
pub(crate) fn route(
    method: &str,
    arguments: TokenStream,
    item: TokenStream,
) -> Result<TokenStream> {
    let Arguments { path, state } = syn::parse2(arguments)?;
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            format!(
                "`#[{}]` must be placed on a function: {error}",
                lower(method)
            ),
        )
    })?;
    check_signature(&function)?;
    check_body(&function)?;

    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    let name = sig.ident.clone();
    // What readers and compilers see of the name goes to the outside, the rest stays on the function.
    let (outside, inside): (Vec<_>, Vec<_>) =
        attrs.into_iter().partition(|attribute: &Attribute| {
            ["doc", "cfg", "deprecated"]
                .iter()
                .any(|name| attribute.path().is_ident(name))
        });
    let (generics, state, bounds) = match state {
        Some(state) => (
            TokenStream::new(),
            state.into_token_stream(),
            TokenStream::new(),
        ),
        None => generic_state(&states(sig.inputs.iter())),
    };
    let filter = Ident::new(method, Span::call_site());
    let streams = names_response(sig.output.to_token_stream());
    // With the span of the name, rustc's word on a function that is no handler points at it.
    let call = quote_spanned! {name.span()=>
        ::bellwether::__private::route(
            #path,
            (::bellwether::__private::MethodFilter::#filter, &[#method]),
            #streams,
            #name,
        )
    };
    Ok(quote! {
        #(#outside)*
        #vis fn #name #generics () -> ::bellwether::Route<#state> #bounds {
            // Extractors come by value, and a handler may be async without need.
            #[allow(clippy::needless_pass_by_value, clippy::unused_async)]
            #(#inside)*
            #sig #block

            #call
        }
    })
}

/// Refuses functions that can never be routed, each with its reason.
fn check_signature(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = sig.inputs.first() {
        return Err(Error::new(
            receiver.span(),
            "a method can't be a route: write a function that takes what it needs by `State<T>`",
        ));
    }
    if !sig.generics.params.is_empty() || sig.generics.where_clause.is_some() {
        let span = if sig.generics.params.is_empty() {
            sig.generics.where_clause.span()
        } else {
            sig.generics.params.span()
        };
        return Err(Error::new(
            span,
            "a route can't be generic: pass `get(function::<Type>)` with a path instead",
        ));
    }
    for argument in &sig.inputs {
        if let FnArg::Typed(typed) = argument
            && let Type::ImplTrait(_) = &*typed.ty
        {
            return Err(Error::new(
                typed.ty.span(),
                "an argument needs a type, not `impl Trait`",
            ));
        }
    }
    if let Some(abi) = &sig.abi {
        return Err(Error::new(
            abi.span(),
            "a route can't be an `extern` function",
        ));
    }
    if let Some(token) = &sig.unsafety {
        return Err(Error::new(
            token.span(),
            "a route can't be an `unsafe` function",
        ));
    }
    Ok(())
}

/// The generics, state type and bounds for a function that takes these `State<T>`.
///
/// A `T` may be the whole state or a part of it, which the macro cannot know. So the state stays
/// open and each `T` only has to come out of it, which holds for the whole as well.
fn generic_state(states: &[Type]) -> (TokenStream, TokenStream, TokenStream) {
    let bounds = quote! {
        where
            __State: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static,
            #(#states: ::bellwether::__private::FromRef<__State>,)*
    };
    (quote!(<__State>), quote!(__State), bounds)
}

/// The distinct `T` of all arguments that are `State<T>`.
fn states<'a>(inputs: impl Iterator<Item = &'a FnArg>) -> Vec<Type> {
    let mut found: Vec<Type> = Vec::new();
    for input in inputs {
        if let FnArg::Typed(typed) = input
            && let Type::Path(path) = &*typed.ty
            && let Some(segment) = path.path.segments.last()
            && segment.ident == "State"
            && let PathArguments::AngleBracketed(arguments) = &segment.arguments
            && let (1, Some(GenericArgument::Type(state))) =
                (arguments.args.len(), arguments.args.first())
            && !found.iter().any(|known| text(known) == text(state))
        {
            found.push(state.clone());
        }
    }
    found
}

/// Whether the return type names the event response, which is all that its signature tells of it.
fn names_response(output: TokenStream) -> bool {
    output.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "ServerEventsResponse",
        TokenTree::Group(group) => names_response(group.stream()),
        _ => false,
    })
}

fn text(value: &impl ToTokens) -> String {
    value.to_token_stream().to_string()
}

fn lower(method: &str) -> String {
    method.to_ascii_lowercase()
}
