//! Routes: `get` and its siblings, and the value that [`Application::route`](crate::Application::route) takes.
//!
//! `get(f)` gives axum's own [`MethodRouter`], so it goes wherever axum's `get` does. A [`Route`] adds
//! the path, and its line on the start screen.

use std::{borrow::Cow, fmt};

use axum::{
    response::IntoResponse,
    routing::{self, MethodFilter, MethodRouter},
};
use futures_core::Stream;

use crate::{
    events::IntoEvent,
    handler::{Handler, events},
};

/// Routes `GET` and `HEAD` to a function that streams events or returns any other response.
///
/// [`Handler`] lists the functions that it takes. The result is axum's [`MethodRouter`] and chains as such.
/// For a second streaming method in the chain write `.post(events(f))` with [`events`](crate::events()), or
/// `.merge(post(f))`.
///
/// The attribute of the same name, `#[get("/path")]`, makes a route value of a function.
///
/// ```
/// use axum::{Router, extract::Path};
/// use bellwether::{ServerSentEvent, get, stream};
/// use futures_core::Stream;
///
/// fn countdown(Path(from): Path<u32>) -> impl Stream<Item = ServerSentEvent> {
///     stream!(
///         for i in (0..from).rev() {
///             yield ServerSentEvent::json(i);
///         }
///     )
/// }
///
/// let app: Router = Router::new().route("/countdown/{from}", get(countdown));
/// assert!(app.has_routes());
/// ```
pub fn get<H, K, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<K, S> + Clone + Send + Sync + 'static,
    H::Future: Send + 'static,
    H::Stream: Stream + Send + 'static,
    <H::Stream as Stream>::Item: IntoEvent,
    H::Error: IntoResponse,
    K: 'static,
    S: Clone + Send + Sync + 'static,
{
    routing::get(events(handler))
}

// `get` is written out so that rustc's messages about it show no macro; these are alike.
macro_rules! routing_function {
    ($(#[$docs:meta])* fn $name:ident($($filter:ident: $ty:ty)?)) => {
        $(#[$docs])*
        pub fn $name<H, K, S>($($filter: $ty,)? handler: H) -> MethodRouter<S>
        where
            H: Handler<K, S> + Clone + Send + Sync + 'static,
            H::Future: Send + 'static,
            H::Stream: Stream + Send + 'static,
            <H::Stream as Stream>::Item: IntoEvent,
            H::Error: IntoResponse,
            K: 'static,
            S: Clone + Send + Sync + 'static,
        {
            routing::$name($($filter,)? events(handler))
        }
    };
}

routing_function! {
    /// Routes `POST`; otherwise as [`get`](fn@get).
    fn post()
}
routing_function! {
    /// Routes `PUT`; otherwise as [`get`](fn@get).
    fn put()
}
routing_function! {
    /// Routes `PATCH`; otherwise as [`get`](fn@get).
    fn patch()
}
routing_function! {
    /// Routes `DELETE`; otherwise as [`get`](fn@get).
    fn delete()
}
routing_function! {
    /// Routes `HEAD` alone; otherwise as [`get`](fn@get), which answers `HEAD` too.
    fn head()
}
routing_function! {
    /// Routes `OPTIONS`; otherwise as [`get`](fn@get).
    fn options()
}
routing_function! {
    /// Routes every method; otherwise as [`get`](fn@get).
    fn any()
}
routing_function! {
    /// Routes the methods of `filter`, such as `MethodFilter::GET.or(MethodFilter::POST)`; otherwise
    /// as [`get`](fn@get).
    fn on(filter: MethodFilter)
}

/// A path with the method router that answers it.
///
/// The attributes (`#[get("/path")]`) make one of a function. A tuple does the same where a route is taken:
/// `("/path", get(f))`.
///
/// ```
/// use bellwether::{Route, get};
///
/// let route: Route = Route::new("/health", get(|| "ok"));
/// assert_eq!(route.path(), "/health");
/// ```
pub struct Route<S = ()> {
    path: Cow<'static, str>,
    methods: MethodRouter<S>,
    names: &'static [&'static str],
    streams: Option<bool>,
    sample_query: Cow<'static, str>,
}

impl<S> Route<S> {
    /// Joins a path in axum's syntax (`/users/{id}`, `/files/{*rest}`) with its method router.
    pub fn new(path: impl Into<Cow<'static, str>>, methods: MethodRouter<S>) -> Self {
        Self {
            path: path.into(),
            methods,
            names: &[],
            streams: None,
            sample_query: "".into(),
        }
    }

    /// Query with which the start screen shows how to watch this route, without `?`. Default: none.
    ///
    /// For a route that refuses requests without a query.
    ///
    /// ```
    /// use bellwether::{Application, ServerSentEvent, Stream, get, stream};
    ///
    /// #[get("/weather")]
    /// fn weather() -> impl Stream<Item = ServerSentEvent> {
    ///     stream!(
    ///         yield ServerSentEvent::text("sunny");
    ///     )
    /// }
    ///
    /// let application: Application = Application::new().route(weather().sample_query("town=Oslo"));
    /// ```
    #[must_use]
    pub fn sample_query(mut self, query: impl Into<Cow<'static, str>>) -> Self {
        self.sample_query = query.into();
        self
    }

    /// Path and sample query, as a client asks for them.
    pub(crate) fn sample_target(&self) -> String {
        match self.sample_query.is_empty() {
            true => self.path.to_string(),
            false => format!("{}?{}", self.path, self.sample_query),
        }
    }

    /// Path of the route, in axum's syntax.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Names of the methods that are answered, such as `GET`.
    ///
    /// The list is empty when only the method router knows them, because axum does not list the methods of
    /// one.
    #[must_use]
    pub fn method_names(&self) -> &'static [&'static str] {
        self.names
    }

    /// Whether the function is known to stream events; `None` when only the method router knows.
    ///
    /// A function that returns a ready-made response is known not to be a generator, although that
    /// response may be an event stream.
    #[must_use]
    pub fn is_stream(&self) -> Option<bool> {
        self.streams
    }

    /// Splits the route into its path and axum's method router, ready for `Router::route`.
    pub fn into_parts(self) -> (Cow<'static, str>, MethodRouter<S>) {
        (self.path, self.methods)
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.path)
            .field("method_names", &self.names)
            .field("is_stream", &self.streams)
            .finish_non_exhaustive()
    }
}

/// What [`Application::route`](crate::Application::route) takes.
///
/// A function under `#[get("/path")]` or a sibling, a pair `("/path", get(f))`, or a [`Route`]. `S` is
/// the type of the state, which the handler's `State<T>` arguments are taken from.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a route",
    label = "not a route here",
    note = "a route is a function under `#[get(\"/path\")]`, a pair `(\"/path\", get(f))` or a `Route`",
    note = "if the function takes `State<T>`, give the application that state: `Application::new().route(…).state(value)`"
)]
pub trait IntoRoute<S> {
    /// Turns the value into a route.
    fn into_route(self) -> Route<S>;
}

impl<S> IntoRoute<S> for Route<S> {
    fn into_route(self) -> Route<S> {
        self
    }
}

// What the attributes leave of a function: one that makes its route, for every state that fits.
#[diagnostic::do_not_recommend]
impl<F, S> IntoRoute<S> for F
where
    F: FnOnce() -> Route<S>,
{
    fn into_route(self) -> Route<S> {
        self()
    }
}

impl<P, S> IntoRoute<S> for (P, MethodRouter<S>)
where
    P: Into<Cow<'static, str>>,
{
    fn into_route(self) -> Route<S> {
        Route::new(self.0, self.1)
    }
}

/// What the attributes name in the code that they make.
#[doc(hidden)]
pub mod __private {
    pub use axum::{extract::FromRef, routing::MethodFilter};

    use super::{Handler, IntoEvent, IntoResponse, Route, Stream};

    /// The route of a function under an attribute; `names_response` is whether its signature says
    /// that it returns an event response.
    pub fn route<H, K, S>(
        path: &'static str,
        (filter, names): (MethodFilter, &'static [&'static str]),
        names_response: bool,
        handler: H,
    ) -> Route<S>
    where
        H: Handler<K, S> + Clone + Send + Sync + 'static,
        H::Future: Send + 'static,
        H::Stream: Stream + Send + 'static,
        <H::Stream as Stream>::Item: IntoEvent,
        H::Error: IntoResponse,
        K: 'static,
        S: Clone + Send + Sync + 'static,
    {
        Route {
            path: path.into(),
            methods: super::on(filter, handler),
            names,
            streams: Some(names_response || H::STREAMS),
            sample_query: "".into(),
        }
    }
}
