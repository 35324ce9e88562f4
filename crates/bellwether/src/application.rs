//! The application: routes, files, settings and hooks, put together in one place.
//!
//! It builds an axum router and keeps what the server needs. How it is run is in
//! [`running`](crate::running).

mod assembly;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route as AxumRoute;
use axum::{BoxError, Router};
use tower::{Layer, Service};

use crate::error::Result;
use crate::health::{Condition, Readiness};
use crate::listen::{Drain, Limits, Timeouts};
use crate::routing::IntoRoute;
use crate::screen::RouteLine;
use crate::stream::StreamDefaults;

/// A hook of the application, called once.
pub(crate) type Hook =
    Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

/// Wraps the whole router in a layer of the user's.
type LayerFn = Box<dyn FnOnce(Router) -> Router + Send>;

/// A web application that streams events: routes, static files, settings, and the way to run it.
///
/// `S` is the type of the shared state that handlers take as `State<S>`, as in axum. It is given by
/// [`state`](Self::state) and inferred otherwise.
///
/// The defaults are safe: the application listens on loopback only. Its streams notice clients that
/// disconnect, send keep-alives, and end in good order on SIGTERM or Ctrl-C.
///
/// ```no_run
/// use std::time::Duration;
/// use bellwether::{Application, ServerSentEvent, Stream, get, stream};
/// use serde_json::json;
///
/// #[get("/events")]
/// fn events() -> impl Stream<Item = ServerSentEvent> {
///     stream!(
///         for i in 0..3 {
///             yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
///             tokio::time::sleep(Duration::from_secs(1)).await;
///         }
///     )
/// }
///
/// #[tokio::main]
/// async fn main() -> bellwether::Result<()> {
///     Application::new().route(events).run().await
/// }
/// ```
#[must_use = "an application does nothing until it is run"]
pub struct Application<S = ()> {
    router: Router<S>,
    pub(crate) parts: ApplicationParts,
}

/// What does not depend on the type of the state.
pub(crate) struct ApplicationParts {
    wraps: Vec<LayerFn>,
    pub(crate) routes: Vec<RouteLine>,
    pub(crate) files: Option<PathBuf>,
    readiness: Readiness,
    liveness: Option<String>,
    /// Paths of probes, which a full server answers too.
    pub(crate) probes: Vec<String>,
    pub(crate) defaults: StreamDefaults,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain: Drain,
    pub(crate) shows_warnings: bool,
    pub(crate) on_start: Vec<Hook>,
    pub(crate) on_stop: Vec<Hook>,
    pub(crate) configured_address: Option<ConfiguredAddress>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::listen::Tls>,
}

/// Where an application listens, if its code says so.
#[derive(Debug, Clone)]
pub(crate) enum ConfiguredAddress {
    Address(String),
    #[cfg(unix)]
    Unix(PathBuf),
}

impl<S> Application<S>
where
    S: Clone + Send + Sync + 'static,
{
    /// An application without routes.
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            parts: ApplicationParts {
                wraps: Vec::new(),
                routes: Vec::new(),
                files: None,
                readiness: Readiness::default(),
                liveness: None,
                probes: Vec::new(),
                defaults: StreamDefaults::default(),
                limits: Limits::default(),
                timeouts: Timeouts::default(),
                drain: Drain::default(),
                shows_warnings: true,
                on_start: Vec::new(),
                on_stop: Vec::new(),
                configured_address: None,
                #[cfg(feature = "tls")]
                tls: None,
            },
        }
    }

    /// Adds a route: a function under `#[get("/path")]`, or a pair `("/path", get(function))`.
    ///
    /// ```
    /// use bellwether::{Application, get};
    ///
    /// #[get("/hello")]
    /// async fn hello() -> &'static str {
    ///     "hello"
    /// }
    ///
    /// let application = Application::new().route(hello).route(("/bye", get(|| "bye")));
    /// # application.into_router()?;
    /// # Ok::<(), bellwether::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// At start-up, as axum does, if the path is invalid or the route overlaps another one.
    #[track_caller]
    pub fn route(mut self, route: impl IntoRoute<S>) -> Self {
        let route = route.into_route();
        self.parts.routes.push(RouteLine::new(
            route.method_names(),
            route.path(),
            &route.sample_target(),
            route.is_stream(),
        ));
        let (path, methods) = route.into_parts();
        self.router = self.router.route(&path, methods);
        self
    }

    /// Adds all routes of an axum router.
    ///
    /// They are served like the application's own. A handler of theirs may return a
    /// [`ServerEventsResponse`](crate::ServerEventsResponse). The router's fallback answers where neither a route nor
    /// a file does.
    ///
    /// ```
    /// use bellwether::Application;
    ///
    /// let api = axum::Router::new().route("/version", axum::routing::get(|| async { "1" }));
    /// let application: Application = Application::new().merge(api);
    /// ```
    ///
    /// # Panics
    ///
    /// At start-up, as axum does, if a route overlaps another one, or if this is the second router with a fallback.
    #[track_caller]
    pub fn merge(mut self, router: Router<S>) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// Wraps all routes and files in a tower layer, also those that are added later. The layer added last is
    /// the outermost.
    ///
    /// A layer that wraps response bodies, such as compression, sees event streams too.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<AxumRoute> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<std::convert::Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.parts
            .wraps
            .push(Box::new(move |router| router.layer(layer)));
        self
    }

    /// Shared state that handlers take as `State<S>`. Call it after the routes that need the state.
    ///
    /// ```
    /// use axum::extract::State;
    /// use bellwether::{Application, get};
    ///
    /// #[get("/name", state = String)]
    /// async fn name(State(name): State<String>) -> String {
    ///     name
    /// }
    ///
    /// let application = Application::new().route(name).state("bellwether".to_owned());
    /// # application.into_router()?;
    /// # Ok::<(), bellwether::Error>(())
    /// ```
    pub fn state(self, state: S) -> Application {
        Application {
            router: self.router.with_state(state),
            parts: self.parts,
        }
    }

    /// Directory whose files are served where no route matches. Default: none.
    ///
    /// `index.html` answers for a directory. Responses have ETags and support ranges. There is no listing, no
    /// dotfile, and no way out of the directory by `..` or symlinks. A missing directory is an error when the
    /// application starts. Where there is no file, the fallback of a [merged](Self::merge) router answers.
    pub fn serve_files(mut self, directory: impl Into<PathBuf>) -> Self {
        self.parts.files = Some(directory.into());
        self
    }

    /// Whether error pages and error events show the chain of causes, panic messages and the route. Default:
    /// off; clients then see the status alone.
    ///
    /// This is for development: details may hold secrets. A warning is logged if it is on and the address is
    /// not loopback.
    pub fn show_error_details(mut self, show: bool) -> Self {
        self.parts.defaults.show_error_details = show;
        self
    }

    /// Settings that hold for every stream whose response does not override them. Default:
    /// [`StreamDefaults::new`].
    pub fn streams(mut self, mut defaults: StreamDefaults) -> Self {
        defaults.show_error_details = self.parts.defaults.show_error_details;
        self.parts.defaults = defaults;
        self
    }

    /// Sizes and counts that the server allows. Default: [`Limits::default`].
    ///
    /// Limits that contradict one another are an error when the application starts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.parts.limits = limits;
        self
    }

    /// Times that the server waits for its clients. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.parts.timeouts = timeouts;
        self
    }

    /// Times of a stop. Default: [`Drain::default`].
    pub fn drain(mut self, drain: Drain) -> Self {
        self.parts.drain = drain;
        self
    }

    /// Path of the readiness route. It answers `200 ready`, and `503 stopping` once a stop has begun.
    /// Default: no such route.
    ///
    /// [`Drain::notice`](crate::Drain::notice) gives load balancers the time to see the change, and
    /// [`ready_while`](Self::ready_while) adds conditions.
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.parts.readiness.path = Some(path.into());
        self
    }

    /// Path of the liveness route. It always answers `200 alive`. Default: no such route.
    ///
    /// A full server answers this route and [`health`](Self::health) too. A probe on a new connection
    /// therefore does not cause the restart of a server that serves its clients well.
    pub fn liveness(mut self, path: impl Into<String>) -> Self {
        self.parts.liveness = Some(path.into());
        self
    }

    /// Condition of [`health`](Self::health). While it is false, the readiness route answers `503` and the
    /// text `otherwise`.
    ///
    /// The condition runs at each request for readiness, so it has to be quick: read a flag that other code
    /// keeps up to date. Nothing else changes meanwhile. Open streams stay, and new ones are accepted.
    ///
    /// ```
    /// use bellwether::{Application, Topics};
    ///
    /// let topics = Topics::new();
    /// let broker = topics.clone();
    /// let application = Application::new()
    ///     .health("/ready")
    ///     .ready_while(move || broker.is_ready(), "the broker is away");
    /// # application.into_router()?;
    /// # Ok::<(), bellwether::Error>(())
    /// ```
    pub fn ready_while(
        mut self,
        condition: impl Fn() -> bool + Send + Sync + 'static,
        otherwise: impl Into<String>,
    ) -> Self {
        self.parts.readiness.conditions.push(Condition {
            holds: Arc::new(condition),
            otherwise: otherwise.into(),
        });
        self
    }

    /// Writes nothing to standard error in a program without a `tracing` subscriber.
    ///
    /// By default, [`run`](Self::run) and [`serve`](Self::serve) then write Bellwether's warnings and errors
    /// there, each line once: a stream that has failed, a generator that blocks its thread. To see more, set
    /// a subscriber before `run`; the guide has a page on logging.
    pub fn no_warnings_on_stderr(mut self) -> Self {
        self.parts.shows_warnings = false;
        self
    }

    /// Address on which the application listens, such as `127.0.0.1:8000`. It has precedence over `HOST` and
    /// `PORT`. Default: `127.0.0.1:8000`.
    ///
    /// Other machines can reach an address that is not loopback.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.parts.configured_address = Some(ConfiguredAddress::Address(address.into()));
        self
    }

    /// Path of the Unix socket on which the application listens. Default: none.
    ///
    /// The file of a socket on which no server answers is replaced. The file of a running server is an error
    /// when the application starts.
    #[cfg(unix)]
    pub fn bind_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.parts.configured_address = Some(ConfiguredAddress::Unix(path.into()));
        self
    }

    /// Certificate chain and key for HTTPS, with HTTP/2 by ALPN. Default: none, which serves plain HTTP.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::listen::Tls) -> Self {
        self.parts.tls = Some(tls);
        self
    }

    /// Function that runs before the first connection is accepted. An error stops the start.
    ///
    /// Several hooks run one after the other, in the order in which they were added.
    ///
    /// ```
    /// use bellwether::Application;
    ///
    /// let application: Application = Application::new()
    ///     .on_start(|| async { std::fs::metadata("Cargo.toml").map(drop) });
    /// ```
    pub fn on_start<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.parts.on_start.push(boxed(hook));
        self
    }

    /// Function that runs when the last stream has ended.
    ///
    /// Each hook has 5 s. If a hook fails or takes longer, the others run all the same, and then
    /// [`run`](Self::run) returns the error.
    pub fn on_stop<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.parts.on_stop.push(boxed(hook));
        self
    }
}

/// An application that has the state which its routes need, so that it can be served.
///
/// It is an `Application<()>`, which [`Application::state`] makes.
#[diagnostic::on_unimplemented(
    message = "the routes of this application need a state, and it has none yet: `{Self}`",
    label = "the state is missing",
    note = "give it with `.state(value)` after the routes and before this call"
)]
pub trait StateGiven: Sized {
    // Hidden: other crates have no use for its result.
    #[doc(hidden)]
    fn ready(self) -> Application;
}

impl StateGiven for Application {
    fn ready(self) -> Application {
        self
    }
}

impl<S> Application<S> {
    /// Converts the application into an axum router, for `axum::serve` or to nest in another one.
    ///
    /// The settings of the server (limits, timeouts, drain, hooks, addresses) are then ignored. Give
    /// [`shutdown_signal`](crate::shutdown_signal) to `with_graceful_shutdown`, so that streams end when the
    /// server stops.
    ///
    /// # Errors
    ///
    /// The directory of [`serve_files`](Self::serve_files) cannot be served, or a route has the path of
    /// [`health`](Self::health) or [`liveness`](Self::liveness).
    pub fn into_router(self) -> Result<Router>
    where
        Self: StateGiven,
    {
        self.ready().split().map(|(router, _)| router)
    }
}

impl<S> Default for Application<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Application<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("files", &self.parts.files)
            .field("streams", &self.parts.defaults)
            .field("limits", &self.parts.limits)
            .field("timeouts", &self.parts.timeouts)
            .field("drain", &self.parts.drain)
            .finish_non_exhaustive()
    }
}

fn boxed<F, Fut, E>(hook: F) -> Hook
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::new(|| {
        let done = hook();
        Box::pin(async move { done.await.map_err(Into::into) })
    })
}
