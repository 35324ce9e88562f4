//! The application: routes, files, settings and hooks, put together in one place.
//!
//! It builds an axum router and keeps what the server needs. How it is run is in
//! [`running`](crate::running).

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::response::IntoResponse;
use axum::routing::Route as AxumRoute;
use axum::{BoxError, Extension, Router};
use tower::{Layer, Service};

use crate::error::{Error, Result};
use crate::events;
use crate::health::{Condition, Readiness};
use crate::lifecycle::Lifecycle;
use crate::listen::{Drain, Limits, Timeouts};
use crate::routing::IntoRoute;
use crate::screen::RouteLine;
use crate::stream::StreamDefaults;
use crate::{error_page, files};

/// A hook of the application, called once.
pub(crate) type Hook =
    Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

/// Wraps the whole router in a layer of the user's.
type LayerFn = Box<dyn FnOnce(Router) -> Router + Send>;

/// A web application that streams events: routes, static files, settings, and the way to run it.
///
/// `S` is the type of the shared state that handlers take as `State<S>`, as in axum; it is given
/// by [`state`](Self::state) and inferred otherwise.
///
/// The program of fifteen lines is safe: it is bound to loopback, its streams notice clients that
/// leave, send keep-alives, and end in good order on SIGTERM or Ctrl-C.
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
    pub(crate) place: Option<ConfiguredAddress>,
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
                place: None,
                #[cfg(feature = "tls")]
                tls: None,
            },
        }
    }

    /// Adds a route: a function under `#[get("/path")]`, or a pair `("/path", get(function))`.
    ///
    /// # Panics
    ///
    /// At start-up, as axum does, if the path is no path or the route overlaps another one.
    #[track_caller]
    pub fn route(mut self, route: impl IntoRoute<S>) -> Self {
        let route = route.into_route();
        self.parts.routes.push(RouteLine::new(
            route.method_names(),
            route.path(),
            route.is_stream(),
        ));
        let (path, methods) = route.into_parts();
        self.router = self.router.route(&path, methods);
        self
    }

    /// Takes in all routes of an axum router. They are served like the application's own; a
    /// handler of theirs may return a [`ServerEventsResponse`](crate::ServerEventsResponse).
    ///
    /// # Panics
    ///
    /// At start-up, as axum does, if a route overlaps another one.
    #[track_caller]
    pub fn merge(mut self, router: Router<S>) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// Puts a tower layer around everything: all routes and files, whenever they were added. The
    /// layer added last is the outermost.
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

    /// Gives the shared state that handlers take as `State<S>`.
    pub fn state(self, state: S) -> Application {
        Application {
            router: self.router.with_state(state),
            parts: self.parts,
        }
    }

    /// Serves the files below `directory` where no route matches. Default: none.
    ///
    /// `index.html` answers for directories; there are ETags and ranges, but no listing, no
    /// dotfiles, no way out of the directory by `..` or symlinks. A directory that is missing is an
    /// error when the application starts.
    pub fn serve_files(mut self, directory: impl Into<PathBuf>) -> Self {
        self.parts.files = Some(directory.into());
        self
    }

    /// Shows the chain of causes, panic messages and the route on error pages and in error events.
    /// Default: off; then clients learn the status and nothing of the inside.
    ///
    /// For development. A warning is logged when it is on and the address is not loopback.
    pub fn show_error_details(mut self, show: bool) -> Self {
        self.parts.defaults.show_error_details = show;
        self
    }

    /// Sets what holds for every stream unless its response says otherwise.
    pub fn streams(mut self, mut defaults: StreamDefaults) -> Self {
        defaults.show_error_details = self.parts.defaults.show_error_details;
        self.parts.defaults = defaults;
        self
    }

    /// Sets the sizes and counts that the server allows.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.parts.limits = limits;
        self
    }

    /// Sets how long the server waits for its clients.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.parts.timeouts = timeouts;
        self
    }

    /// Sets how the server ends.
    pub fn drain(mut self, drain: Drain) -> Self {
        self.parts.drain = drain;
        self
    }

    /// Answers readiness on `path`: `200 ready`, and `503 stopping` once a stop is on its way.
    /// Default: no such route. Give load balancers the time to see it by
    /// [`Drain::notice`](crate::Drain::notice). [`ready_while`](Self::ready_while) adds conditions.
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.parts.readiness.path = Some(path.into());
        self
    }

    /// Answers liveness on `path`: `200 alive`, always. Default: no such route.
    ///
    /// A full server answers this route and [`health`](Self::health) too, so that a probe on a new connection does not
    /// have a server ended that serves its clients well.
    pub fn liveness(mut self, path: impl Into<String>) -> Self {
        self.parts.liveness = Some(path.into());
        self
    }

    /// Adds a condition to [`health`](Self::health): while it does not hold, the answer is `503` and `otherwise`.
    ///
    /// It is asked at each request for readiness, so it has to be quick: look at a flag that others keep up to date.
    /// Nothing else changes meanwhile: open streams stay, and new ones are taken.
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
    /// By default, [`run`](Self::run) and [`serve`](Self::serve) then write Bellwether's warnings and errors there, each
    /// line once: a stream that has failed, a generator that holds its thread. Set a subscriber of your own, before `run`,
    /// to see more; the guide has a page on logging.
    pub fn no_warnings_on_stderr(mut self) -> Self {
        self.parts.shows_warnings = false;
        self
    }

    /// Listens on this address, such as `127.0.0.1:8000`; it wins over `HOST` and `PORT`.
    ///
    /// An address that is not loopback is reachable by others: that is never the default.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.parts.place = Some(ConfiguredAddress::Address(address.into()));
        self
    }

    /// Listens on a Unix socket at `path`. A socket file that nobody answers on is replaced.
    #[cfg(unix)]
    pub fn bind_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.parts.place = Some(ConfiguredAddress::Unix(path.into()));
        self
    }

    /// Serves HTTPS, with HTTP/2 by ALPN, with this certificate chain and key.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::listen::Tls) -> Self {
        self.parts.tls = Some(tls);
        self
    }

    /// Runs `hook` before the first connection is accepted. An error stops the start. Several
    /// hooks run one after the other.
    pub fn on_start<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.parts.on_start.push(boxed(hook));
        self
    }

    /// Runs `hook` when the last stream has ended. Each hook has 5 s; an error or a hook that
    /// takes longer is reported by the run's result once all have run.
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
    // Hidden: nobody else can name what it gives to anything.
    #[doc(hidden)]
    fn ready(self) -> Application;
}

impl StateGiven for Application {
    fn ready(self) -> Application {
        self
    }
}

impl<S> Application<S> {
    /// The application as an axum router, for `axum::serve` or to nest in another one.
    ///
    /// Settings of the server (limits, timeouts, drain, hooks, addresses) are then somebody
    /// else's. For streams that end on stop give
    /// [`shutdown_signal`](crate::shutdown_signal) to `with_graceful_shutdown`.
    ///
    /// # Errors
    ///
    /// The directory of [`serve_files`](Self::serve_files) cannot be served.
    pub fn into_router(self) -> Result<Router>
    where
        Self: StateGiven,
    {
        self.ready().split().map(|(router, _)| router)
    }
}

impl Application {
    /// The router with everything around it, and what the server needs.
    pub(crate) fn split(self) -> Result<(Router, ApplicationParts)> {
        let Self {
            mut router,
            mut parts,
        } = self;
        let mut readiness = std::mem::take(&mut parts.readiness);
        if let Some(path) = readiness.path.take() {
            router = router.route(&path, readiness.route(|| !Lifecycle::current().is_ready()));
            parts.probes.push(path);
        }
        if let Some(path) = parts.liveness.take() {
            router = router.route(&path, crate::health::liveness());
            parts.probes.push(path);
        }
        if let Some(directory) = &parts.files {
            let files = files::serve_files(directory)
                .map_err(|e| Error::configuration("serve static files", Some(e.into())))?;
            router = router.fallback_service(files);
        }
        // Each call of `Router::layer` costs every request a box and a copy of everything in it, so there are as few
        // as can be.
        let around = (
            Extension(Arc::new(parts.defaults.clone())),
            DefaultBodyLimit::max(parts.limits.max_body_bytes),
            error_page::error_pages(parts.defaults.show_error_details),
        );
        let router = if parts.wraps.is_empty() {
            router.layer((around, events::PendingEventsLayer))
        } else {
            router = router.layer(events::PendingEventsLayer);
            for wrap in parts.wraps.drain(..) {
                router = wrap(router);
            }
            router.layer(around)
        };
        Ok((router, parts))
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
