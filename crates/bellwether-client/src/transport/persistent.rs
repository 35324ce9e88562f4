//! [`PersistentConnection`]: many short requests over one connection, one after the other.
//!
//! An event stream needs a connection of its own. A program that publishes thousands of lines does not: each connection
//! that it closes occupies a local port for a minute.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::TransportError;
use super::hyper::{Http1Connection, HyperTransport, drive, handshake, with_origin_form};
use crate::location::origin;

/// Servers close idle connections after seconds, and a request that meets that close may be lost, and it is unknown
/// whether the server saw it. So a connection that has rested for longer is not used again.
const MAX_REST: Duration = Duration::from_secs(1);

/// Sends requests one after the other, over HTTP/1.1 and over the same connection as long as that is safe.
///
/// A connection is used again for the same origin within a second, unless the server has closed it or has said that
/// it will. A request is sent at most once: it goes out over a new connection only if not a byte of it was written to
/// the old one. A future of [`send`](Self::send) that is dropped closes the connection.
///
/// ```no_run
/// use bellwether_client::HyperTransport;
/// use bellwether_client::transport::PersistentConnection;
///
/// # async fn run() -> Result<(), bellwether_client::transport::TransportError> {
/// let mut connection = PersistentConnection::new(HyperTransport::new());
/// for line in ["one", "two"] {
///     let mut request = http::Request::new(bytes::Bytes::from(line));
///     *request.method_mut() = http::Method::POST;
///     *request.uri_mut() = http::Uri::from_static("http://127.0.0.1:8000/publish?topic=news");
///     let answer = connection.send(request, 64 * 1024).await?;
///     println!("{}", answer.status());
/// }
/// # Ok(())
/// # }
/// ```
pub struct PersistentConnection {
    transport: HyperTransport,
    open: Option<OpenConnection>,
}

struct OpenConnection {
    origin: String,
    sender: SendRequest<Full<Bytes>>,
    connection: Option<Pin<Box<Http1Connection>>>,
    rests_since: Instant,
}

impl PersistentConnection {
    /// A connection that opens with the first request, in the way of this transport. HTTP/2 is not used.
    pub fn new(transport: HyperTransport) -> Self {
        Self {
            transport: transport.http1_only(),
            open: None,
        }
    }

    /// Sends a request with an absolute URL and reads the whole response.
    ///
    /// `max_body_bytes` bounds the memory of the response's body. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// There is no connection, the connection broke, or the body is longer than `max_body_bytes`. Unless the
    /// server could not be reached, it may have received the request: repeat it only if that is harmless.
    pub async fn send(
        &mut self,
        request: Request<Bytes>,
        max_body_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let origin = origin(request.uri());
        let url = request.uri().clone();
        let mut request = with_origin_form(request)?;
        let mut old = self.open.take().filter(|open| open.origin == origin);
        loop {
            let is_new = old.is_none();
            let mut open = match old.take() {
                Some(mut open) => match open.is_ready().await {
                    true => open,
                    false => continue,
                },
                None => self.connect(url.clone(), origin.clone()).await?,
            };
            match open.ask(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = open.read(body, max_body_bytes).await?;
                    open.rests_since = Instant::now();
                    self.open = Some(open);
                    return Ok(Response::from_parts(head, body));
                }
                Err((_, Some(unsent))) if !is_new => request = unsent,
                Err((error, _)) => return Err(TransportError::new(error)),
            }
        }
    }

    async fn connect(
        &self,
        url: http::Uri,
        origin: String,
    ) -> Result<OpenConnection, TransportError> {
        let (io, _) = self.transport.clone().connect(url).await?;
        let (sender, connection) = handshake(io).await?;
        Ok(OpenConnection {
            origin,
            sender,
            connection: Some(Box::pin(connection)),
            rests_since: Instant::now(),
        })
    }
}

impl OpenConnection {
    /// Whether another request may go out here.
    async fn is_ready(&mut self) -> bool {
        if self.rests_since.elapsed() > MAX_REST {
            return false;
        }
        std::future::poll_fn(|cx| {
            // It notices here what the server has done in the meantime.
            drive(&mut self.connection, cx);
            match self.connection {
                Some(_) => self.sender.poll_ready(cx).map(|ready| ready.is_ok()),
                None => Poll::Ready(false),
            }
        })
        .await
    }

    /// The head of the answer, or why there is none, and the request if nothing of it was sent.
    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        let mut sending = std::pin::pin!(self.sender.try_send_request(request));
        let sent = std::future::poll_fn(|cx| {
            drive(&mut self.connection, cx);
            sending.as_mut().poll(cx)
        });
        sent.await.map_err(|mut error| {
            let unsent = error.take_message();
            (error.into_error(), unsent)
        })
    }

    async fn read(&mut self, mut body: Incoming, max: usize) -> Result<Bytes, TransportError> {
        let mut all = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| {
                drive(&mut self.connection, cx);
                Pin::new(&mut body).poll_frame(cx)
            });
            let Some(frame) = frame.await else {
                return Ok(all.freeze());
            };
            let frame = frame.map_err(|error| TransportError::cut(error.into()))?;
            if let Ok(data) = frame.into_data() {
                if all.len() + data.len() > max {
                    return Err(TransportError::new("the answer is too long"));
                }
                all.extend_from_slice(&data);
            }
        }
    }
}

impl fmt::Debug for PersistentConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentConnection")
            .finish_non_exhaustive()
    }
}
