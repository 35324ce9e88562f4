//! The attributes `#[get("/path")]`, `#[post]`, `#[put]`, `#[patch]` and `#[delete]` of Bellwether.
//!
//! They turn a function into one of the same name that makes its route, which `Application::route`
//! takes; nothing is registered behind the reader's back. Use them through the `bellwether` crate, which documents them
//! beside the functions of the same names.

mod arguments;
mod body;
mod expand;

use proc_macro::TokenStream;

macro_rules! attribute {
    ($(#[$docs:meta])* $name:ident, $method:literal) => {
        $(#[$docs])*
        #[proc_macro_attribute]
        pub fn $name(arguments: TokenStream, item: TokenStream) -> TokenStream {
            expand::route($method, arguments.into(), item.into())
                .unwrap_or_else(|error| error.to_compile_error())
                .into()
        }
    };
}

attribute! {
    /// Makes a route value of a function: `GET`, and `HEAD` with it, on the given path.
    ///
    /// `#[get("/path")]` is placed on a `fn` or `async fn` that `bellwether::get` would take. The name,
    /// with its visibility and documentation, then means the route, for `Application::route(events)`;
    /// called, `events()` is the `Route` itself. Move what other code calls into a function of its own.
    ///
    /// The path is a string literal in axum's syntax: it begins with `/`, `{id}` captures one
    /// segment, `{*rest}` at the end captures all that follow.
    ///
    /// The route fits any application whose state gives what the function's `State<T>` arguments ask
    /// for (`T: FromRef<S>`). When another extractor needs one certain state type, name it:
    /// `#[get("/path", state = AppState)]`.
    get, "GET"
}
attribute! {
    /// Makes a route value of a function: `POST` on the given path. Otherwise as [`macro@get`].
    post, "POST"
}
attribute! {
    /// Makes a route value of a function: `PUT` on the given path. Otherwise as [`macro@get`].
    put, "PUT"
}
attribute! {
    /// Makes a route value of a function: `PATCH` on the given path. Otherwise as [`macro@get`].
    patch, "PATCH"
}
attribute! {
    /// Makes a route value of a function: `DELETE` on the given path. Otherwise as [`macro@get`].
    delete, "DELETE"
}
