//! Runs an application: its address, its output, its stop, and the end of the process.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::application::{Application, ApplicationParts, ConfiguredAddress, Hook, StateGiven};
use crate::error::{Error, Result};
use crate::error_page;
use crate::lifecycle::{Lifecycle, StreamCounts, first_signal, watch_signals};
use crate::listen::{DrainReport, Listener, ListenerAddress, Server};
use crate::screen::{self, Address, OutputStyle, StartScreen};
use crate::stderr;

/// The host and port on which the application listens by default.
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8000;

/// How long one stop hook may take.
const STOP_HOOK: Duration = Duration::from_secs(5);

impl<S> Application<S> {
    /// Serves until SIGTERM or Ctrl-C, then ends the streams in good order and returns.
    ///
    /// It listens, in this order: on the sockets that a supervisor has handed over
    /// (`LISTEN_FDS`), on what [`bind`](Self::bind) or `bind_unix` says, on the environment's
    /// `HOST` and `PORT`, on `127.0.0.1:8000`. `PORT=0` takes a free port. The first line on
    /// standard output says the address.
    ///
    /// On the first signal [`is_stopping`](crate::is_stopping) turns true, no connection is
    /// accepted any more, and streams end within the [`Drain`](crate::Drain) window; what ignores
    /// the stop is cut at its deadline. A second signal ends the process at once, with status 130.
    /// Should `main` not return within [`Drain::last_resort`](crate::Drain::last_resort) after the
    /// deadline, the process is ended with status 1, so it always ends.
    ///
    /// # Errors
    ///
    /// The address is taken or not ours to take, `HOST` or `PORT` cannot be read, the directory of
    /// static files or a certificate is missing, a hook failed.
    pub async fn run(self) -> Result<()>
    where
        Self: StateGiven,
    {
        let application = self.ready();
        let listener = application.listener().await?;
        application.run_on(listener).await
    }

    /// Serves on a listener of your own; otherwise as [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), except for the address.
    pub async fn serve(self, listener: impl Into<Listener>) -> Result<()>
    where
        Self: StateGiven,
    {
        self.ready().run_on(listener.into()).await
    }

    /// Serves in the background, without signals and without output: for tests
    /// and for programs that run several servers.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> bellwether::Result<()> {
    /// use bellwether::{Application, Listener, get};
    ///
    /// let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
    /// let running = Application::new().route(("/", get(|| "hello"))).start(listener).await?;
    /// assert_ne!(running.address().socket_addr().unwrap().port(), 0);
    /// let streams = running.stop().await?;
    /// assert_eq!(streams.opened, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve), as far as it shows before the first connection.
    pub async fn start(self, listener: impl Into<Listener>) -> Result<Running>
    where
        Self: StateGiven,
    {
        let application = self.ready();
        let prepared = Prepared::new(application, listener.into(), Lifecycle::new()).await?;
        let address = prepared.listener.address();
        let lifecycle = prepared.lifecycle.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // A dropped handle is no wish to stop.
        let asked = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let served = tokio::spawn(async move { prepared.serve(asked, |_, _| {}).await.map(drop) });
        Ok(Running {
            address,
            lifecycle,
            stop,
            served,
        })
    }
}

impl Application {
    /// Where the application listens when it is given no listener.
    async fn listener(&self) -> Result<Listener> {
        if let Some(listener) = Listener::activated()
            .map_err(|e| Error::io("take over the sockets of LISTEN_FDS", e))?
        {
            return Ok(listener);
        }
        match &self.parts.configured_address {
            Some(ConfiguredAddress::Address(address)) => bind(address, true).await,
            #[cfg(unix)]
            Some(ConfiguredAddress::Unix(path)) => Listener::unix(path)
                .await
                .map_err(|e| Error::io(format!("listen on {}", path.display()), e)),
            None => bind(&environment_address()?, false).await,
        }
    }

    async fn run_on(self, listener: Listener) -> Result<()> {
        if self.parts.shows_warnings {
            stderr::show_warnings();
        }
        let lifecycle = Lifecycle::new();
        lifecycle.become_process();
        let prepared = Prepared::new(self, listener, lifecycle).await?;
        let drain = &prepared.parts.drain;
        let last_resort = [drain.deadline, drain.last_resort]
            .into_iter()
            .fold(drain.notice, std::time::Duration::saturating_add);
        // Before anybody can know that it runs.
        let signal = watch_signals(Some(last_resort));
        print_line(&prepared.screen());
        let asked = async {
            let name = first_signal(signal).await;
            tracing::info!(signal = name, "stopping");
        };
        let report = prepared
            .serve(asked, |streams, window| {
                print_line(&format!("{}\n", screen::draining(streams, window)));
            })
            .await?;
        print_line(&format!("{}\n", screen::drained(report.ended, report.cut)));
        Ok(())
    }
}

/// A server in the background, from [`Application::start`].
///
/// Dropping it leaves the server running until the process ends.
#[derive(Debug)]
pub struct Running {
    address: ListenerAddress,
    lifecycle: Lifecycle,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<()>>,
}

impl Running {
    /// Address on which the server listens, with the port that the system has picked.
    #[must_use]
    pub fn address(&self) -> &ListenerAddress {
        &self.address
    }

    /// Counts of the server's streams at this moment.
    #[must_use]
    pub fn streams(&self) -> StreamCounts {
        self.lifecycle.streams().counts()
    }

    /// Stops the server as a signal would, and waits until every stream has ended or was cut.
    ///
    /// It returns the final counts of the streams. A stop that has begun goes on when the future is dropped.
    ///
    /// # Errors
    ///
    /// A stop hook failed, or the listener failed before.
    pub async fn stop(self) -> Result<StreamCounts> {
        // A server that has failed takes no wish; its error comes from the task.
        let _ = self.stop.send(());
        match self.served.await {
            Ok(result) => result.map(|()| self.lifecycle.streams().counts()),
            Err(error) => Err(Error::io("serve", std::io::Error::other(error))),
        }
    }
}

/// An application with everything in place to accept connections.
struct Prepared {
    router: Router,
    parts: ApplicationParts,
    listener: Listener,
    lifecycle: Lifecycle,
}

impl Prepared {
    async fn new(
        application: Application,
        listener: Listener,
        lifecycle: Lifecycle,
    ) -> Result<Self> {
        let (router, mut parts) = application.split()?;
        parts.limits.check()?;
        parts.drain = parts.drain.checked()?;
        #[cfg(feature = "tls")]
        let listener = match parts.tls.take() {
            Some(tls) => listener.with_tls(tls),
            None => listener,
        };
        if let Some(address) = listener.address().socket_addr() {
            error_page::warn_if_public(parts.defaults.show_error_details, address);
        }
        for hook in parts.on_start.drain(..) {
            hook()
                .await
                .map_err(|e| Error::hook("start the application", Some(e)))?;
        }
        Ok(Self {
            router,
            parts,
            listener,
            lifecycle,
        })
    }

    /// Serves until `stop` is ready, drains, and runs the stop hooks.
    async fn serve(
        self,
        stop: impl Future<Output = ()>,
        on_drain: impl FnOnce(u64, Duration),
    ) -> Result<DrainReport> {
        let Self {
            router,
            parts,
            listener,
            lifecycle,
        } = self;
        let ApplicationParts {
            limits,
            timeouts,
            drain,
            on_stop,
            ..
        } = parts;
        let (notice, window) = (drain.notice, drain.window);
        let stop = async {
            stop.await;
            lifecycle.mark_unready();
            tokio::time::sleep(notice).await;
        };
        let server = Server {
            probes: parts.probes,
            router,
            lifecycle: lifecycle.clone(),
            limits,
            timeouts,
            drain,
        };
        let mut serving = std::pin::pin!(server.run(listener));
        let report = tokio::select! {
            report = &mut serving => report,
            () = stop => {
                let plan = lifecycle.begin_stop(window);
                on_drain(plan.streams, window);
                serving.await
            }
        };
        run_stop_hooks(&lifecycle, on_stop).await?;
        Ok(report)
    }

    fn screen(&self) -> String {
        let address = match self.listener.address() {
            ListenerAddress::Tcp(address) if self.listener.is_tls() => Address::Https(address),
            ListenerAddress::Tcp(address) => Address::Http(address),
            #[cfg(unix)]
            ListenerAddress::Unix(path) => Address::Unix(path.unwrap_or_default()),
        };
        let screen = StartScreen {
            name: "Bellwether",
            version: env!("CARGO_PKG_VERSION"),
            addresses: &[address],
            routes: &self.parts.routes,
            static_directory: self.parts.files.as_deref(),
        };
        screen.text(OutputStyle::of_stdout())
    }
}

/// Every hook runs, even if another fails. The first failure is returned.
async fn run_stop_hooks(lifecycle: &Lifecycle, hooks: Vec<Hook>) -> Result<()> {
    let mut failure = None;
    for hook in hooks {
        let error = match tokio::time::timeout(STOP_HOOK, lifecycle.scope(hook())).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => Error::hook("stop the application", Some(error)),
            Err(_) => Error::hook("stop the application: a hook took longer than 5 s", None),
        };
        tracing::error!(?error, "stop hook failed");
        failure.get_or_insert(error);
    }
    failure.map_or(Ok(()), Err)
}

async fn bind(name: &str, by_code: bool) -> Result<Listener> {
    let has_port = name.rsplit_once(':').is_some_and(|(_, port)| {
        // The last part of an IPv6 address without a port may be a number, too.
        port.parse::<u16>().is_ok() && name.parse::<std::net::Ipv6Addr>().is_err()
    });
    if !has_port {
        let message = format!(
            "listen on `{name}`: an address is a host and a port, such as 127.0.0.1:{DEFAULT_PORT}"
        );
        return Err(Error::configuration(message, None));
    }
    Listener::tcp(name).await.map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        match name.parse::<SocketAddr>() {
            Ok(address) if taken => Error::io(screen::port_taken(address, by_code), error),
            _ => Error::io(format!("listen on {name}"), error),
        }
    })
}

/// `HOST` and `PORT` of the environment, with their defaults.
fn environment_address() -> Result<String> {
    let host = std::env::var("HOST").ok().filter(|host| !host.is_empty());
    let host = host.as_deref().unwrap_or(DEFAULT_HOST);
    let port = match std::env::var("PORT") {
        Ok(text) if !text.is_empty() => text.parse::<u16>().map_err(|e| {
            let message = format!("PORT must be a number from 0 to 65535: found `{text}`");
            Error::configuration(message, Some(e.into()))
        })?,
        _ => DEFAULT_PORT,
    };
    let is_host_with_port = host.parse::<SocketAddr>().is_ok()
        || host
            .rsplit_once(':')
            .is_some_and(|(name, _)| !name.contains(':'));
    if is_host_with_port {
        let message =
            format!("HOST is a host alone, such as 0.0.0.0, and PORT its port: found `{host}`");
        return Err(Error::configuration(message, None));
    }
    // An IPv6 address needs brackets before a port.
    let needs_brackets = host.contains(':') && !host.starts_with('[');
    Ok(if needs_brackets {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}

/// Prints on standard output. A closed output is no reason to stop serving.
fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
