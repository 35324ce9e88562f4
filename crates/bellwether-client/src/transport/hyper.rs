//! [`HyperTransport`]: hyper's own connections, one for each request, without a pool.
//!
//! A stream holds its connection for as long as it lives, and a reconnect happens because a connection failed: a pool
//! would keep exactly those that should not be used again. So the pooled client of hyper-util, its retries and its
//! ten crates stay out. An HTTP/1 connection is polled from within the body that it feeds: no task is spawned, and to
//! drop the body is to close the socket.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Frame;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::{Connector, Io, Target};
use super::{Body, ResponseFuture, Transport, TransportError};
use crate::address::Address;

/// The head of a response is at most this long; it is also what is read ahead of a body that is not polled.
const MAX_READ_BYTES: usize = 64 * 1024;

/// The default transport: HTTP/1.1, and with TLS HTTP/2 where the server has it.
///
/// - Names are looked up by the system; all addresses are tried, IPv6 and IPv4 in turn, 250 ms apart.
/// - A vanished server is noticed by TCP's own probes within a minute, and by pings with HTTP/2 within 50 s. On Linux that
///   also holds while sent bytes are not yet acknowledged.
/// - TLS is rustls with ring and Mozilla's roots. Another configuration, for instance with a company's own root or a
///   client certificate: [`tls_config`](Self::tls_config).
/// - Memory: the head of a response may have 64 KiB and 100 fields; up to 64 KiB (HTTP/2: 256 KiB) of a body wait.
/// - Proxies are not used, whatever the environment says: take a [`connector`](Self::connector), or the transport over
///   `reqwest`.
#[derive(Clone)]
pub struct HyperTransport {
    connector: Connector,
    #[cfg(feature = "tls")]
    tls: std::sync::Arc<tokio_rustls::rustls::ClientConfig>,
}

impl Default for HyperTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl HyperTransport {
    /// A transport over TCP, with TLS for `https`.
    pub fn new() -> Self {
        Self {
            connector: Connector::tcp(),
            #[cfg(feature = "tls")]
            tls: super::tls::with_protocols(super::tls::default_config()).into(),
        }
    }

    /// Function that connects in another way: to a Unix socket, through a proxy, to a pipe in a test. TLS
    /// comes on top for `https`. Default: TCP.
    ///
    /// ```
    /// use bellwether_client::HyperTransport;
    /// use bellwether_client::transport::Io;
    ///
    /// let transport = HyperTransport::new().connector(|_target| async {
    ///     let (ours, _theirs) = tokio::io::duplex(1024);
    ///     Ok(Io::new(ours))
    /// });
    /// ```
    #[must_use]
    pub fn connector<F, T>(mut self, connect: F) -> Self
    where
        F: Fn(Target) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Io>> + Send + 'static,
    {
        self.connector = Connector::new(connect);
        self
    }

    /// TLS configuration for `https`, for instance with a company's own root or a client certificate.
    /// Default: rustls with ring and Mozilla's roots. The list of protocols in it is replaced by `h2` and
    /// `http/1.1`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_config(mut self, config: tokio_rustls::rustls::ClientConfig) -> Self {
        self.tls = super::tls::with_protocols(config).into();
        self
    }

    /// The same without the offer of HTTP/2.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_mut, reason = "TLS alone negotiates")
    )]
    pub(super) fn http1_only(mut self) -> Self {
        #[cfg(feature = "tls")]
        {
            let mut config = (*self.tls).clone();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            self.tls = config.into();
        }
        self
    }

    /// Connects, and tells whether the server wants HTTP/2.
    pub(super) async fn connect(self, url: Uri) -> Result<(Io, bool), TransportError> {
        // `Uri` takes a port that is none for no port, and a user for a part of the host.
        let address: Address = url.to_string().parse().map_err(TransportError::permanent)?;
        if address.authorization().is_some() {
            return Err(TransportError::permanent(
                "a URL with a user cannot be sent: it becomes a header field before",
            ));
        }
        let target = Target::of(&url);
        let is_https = url.scheme_str() == Some("https");
        if is_https && !cfg!(feature = "tls") {
            return Err(TransportError::permanent(
                "https needs the feature \"tls\" of bellwether-client",
            ));
        }
        let io = self.connector.connect(target.clone()).await;
        let io = io.map_err(TransportError::new)?;
        #[cfg(feature = "tls")]
        if is_https {
            let wrapped = super::tls::wrap(self.tls, &target, io).await;
            return wrapped.map_err(TransportError::new);
        }
        Ok((io, false))
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport").finish_non_exhaustive()
    }
}

impl Transport for HyperTransport {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let transport = self.clone();
        Box::pin(async move {
            let (io, is_http2) = transport.connect(request.uri().clone()).await?;
            match is_http2 {
                #[cfg(feature = "http2")]
                true => http2::send(io, request).await,
                _ => send_http1(io, request).await,
            }
        })
    }
}

async fn send_http1(io: Io, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
    let request = with_origin_form(request)?;
    let (mut sender, connection) = handshake(io).await?;
    let mut connection = Some(Box::pin(connection));
    let mut sending = std::pin::pin!(sender.send_request(request));
    let response = std::future::poll_fn(|cx| {
        drive(&mut connection, cx);
        sending.as_mut().poll(cx)
    })
    .await
    .map_err(TransportError::new)?;
    Ok(response.map(|body| Body::new(DrivenBody { connection, body })))
}

pub(super) async fn handshake(
    io: Io,
) -> Result<(http1::SendRequest<Full<Bytes>>, Http1Connection), TransportError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_READ_BYTES);
    let shaken = builder.handshake::<_, Full<Bytes>>(TokioIo::new(io)).await;
    shaken.map_err(TransportError::new)
}

/// HTTP/1 names the host in a field and the rest in the request line (RFC 9112, section 3.2).
pub(super) fn with_origin_form(
    request: Request<Bytes>,
) -> Result<Request<Full<Bytes>>, TransportError> {
    let (mut parts, body) = request.into_parts();
    if !parts.headers.contains_key(HOST) {
        let authority = parts.uri.authority().map_or("", |name| name.as_str());
        let default = match parts.uri.scheme_str() {
            Some("https") => ":443",
            _ => ":80",
        };
        let host = authority.strip_suffix(default).unwrap_or(authority);
        let host = HeaderValue::from_str(host).map_err(TransportError::permanent)?;
        parts.headers.insert(HOST, host);
    }
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.map_or_else(Uri::default, Uri::from);
    Ok(Request::from_parts(parts, Full::new(body)))
}

pub(super) type Http1Connection = http1::Connection<TokioIo<Io>, Full<Bytes>>;

/// Lets the connection read and write. Its errors reach the response or the body, so they need no other way.
pub(super) fn drive(connection: &mut Option<Pin<Box<Http1Connection>>>, cx: &mut Context<'_>) {
    if let Some(running) = connection
        && running.as_mut().poll(cx).is_ready()
    {
        *connection = None;
    }
}

/// A body together with the connection that feeds it.
struct DrivenBody {
    connection: Option<Pin<Box<Http1Connection>>>,
    body: Incoming,
}

impl http_body::Body for DrivenBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        // First what has arrived already; then the connection, which may bring more.
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        drive(&mut this.connection, cx);
        Pin::new(&mut this.body).poll_frame(cx)
    }
}

#[cfg(feature = "http2")]
mod http2 {
    //! HTTP/2 needs tasks of its own; they end with the body.

    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use hyper::client::conn::http2;
    use hyper_util::rt::TokioTimer;
    use tokio::task::JoinSet;

    use super::*;
    use crate::error::BoxError;

    /// Bytes of the body that the server may send ahead.
    const WINDOW: u32 = 256 * 1024;

    pub(super) async fn send(
        io: Io,
        mut request: Request<Bytes>,
    ) -> Result<Response<Body>, TransportError> {
        let tasks = Tasks::default();
        let guard = TaskGuard(tasks.clone());
        let (mut sender, connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(io))
            .await
            .map_err(TransportError::new)?;
        tasks.spawn(async {
            // Its error reaches the response or the body.
            let _ = connection.await;
        });
        // The authority is part of the URL in HTTP/2.
        request.headers_mut().remove(HOST);
        let response = sender
            .send_request(request.map(Full::new))
            .await
            .map_err(TransportError::new)?;
        Ok(response.map(|body| {
            Body::new(GuardedBody {
                body,
                _sender: sender,
                _guard: guard,
            })
        }))
    }

    /// Spawns what hyper wants to have spawned, and can end all of it.
    #[derive(Clone, Default)]
    struct Tasks(
        /// Guards the set while a task is added or all are ended.
        Arc<Mutex<JoinSet<()>>>,
    );

    impl Tasks {
        fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            let mut tasks = self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            tasks.spawn(task);
        }
    }

    impl<F> hyper::rt::Executor<F> for Tasks
    where
        F: Future + Send + 'static,
    {
        fn execute(&self, task: F) {
            self.spawn(async {
                task.await;
            });
        }
    }

    /// The tasks hold their own set, so they do not end by themselves when the last user of it goes.
    struct TaskGuard(Tasks);

    impl Drop for TaskGuard {
        fn drop(&mut self) {
            let tasks = self.0.0.lock();
            tasks
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .abort_all();
        }
    }

    struct GuardedBody {
        body: Incoming,
        _sender: http2::SendRequest<Full<Bytes>>,
        _guard: TaskGuard,
    }

    impl http_body::Body for GuardedBody {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            // hyper takes a reset with NO_ERROR or CANCEL for an end. Only END_STREAM is one (RFC 9113, section 8.1).
            if frame.is_none() && !self.body.is_end_stream() {
                let error = "the server reset the stream before its end";
                return Poll::Ready(Some(Err(error.into())));
            }
            Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
        }
    }
}
