//! The default transport over real sockets: TCP, resets, TLS, HTTP/2.

use std::io;
use std::sync::Arc;

use bellwether_client::transport::Io;
use bellwether_client::{EventSource, HyperTransport, Item, Retry};
use bellwether_testkit::{Answer, ScriptedServer, TEST_TIMEOUT, within};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::support::*;

#[tokio::test]
async fn over_tcp_a_stream_survives_cuts_resets_and_refusals() {
    let one = |text: &'static str| Answer::event_stream().send(text);
    let server = ScriptedServer::new([
        one("retry: 1\nid: 1\ndata: 1\n\n").cut(),
        one("data: 2\n\n").reset(),
        Answer::refused(),
        one("data: 3\n\n").until_close(),
    ]);
    let address = server.listen().await;
    let retry = Retry::default()
        .min_delay(std::time::Duration::ZERO)
        .backoff(std::time::Duration::ZERO);
    let mut source = EventSource::builder(format!("http://{address}/"))
        .retry(retry)
        .build()
        .unwrap();
    assert_eq!(data(&mut source).await, ["1", "2", "3"]);
    let requests = server.requests();
    assert_eq!(requests[0].header("host"), Some(&*address.to_string()));
    assert!(
        requests[1..]
            .iter()
            .all(|r| r.header("last-event-id") == Some("1"))
    );
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_carries_the_same_streams_and_leaves_redirects_to_the_source() {
    let there = ScriptedServer::new([Answer::event_stream().send("data: 1\n\n").cut()]);
    let location = format!("http://{}/x", there.listen().await);
    let here = ScriptedServer::new([Answer::redirect(302, &location)]);
    let transport = bellwether_client::transport::ReqwestTransport::new(reqwest::Client::builder());
    let mut source = EventSource::builder(format!("http://{}/", here.listen().await))
        .transport(transport.unwrap())
        .header("x-api-key", "secret")
        .once()
        .build()
        .unwrap();
    let items = all(&mut source).await;
    assert_eq!(items[2], message("1", ""));
    assert_eq!(items[3], Seen::Error("the event stream was cut".into()));
    assert_eq!(here.requests()[0].header("x-api-key"), Some("secret"));
    assert_eq!(there.requests()[0].header("x-api-key"), None);
}

#[tokio::test]
async fn localhost_is_found_whichever_family_listens() {
    let server = ScriptedServer::new([Answer::event_stream().send("data: 1\n\n")]);
    let port = server.listen().await.port();
    let builder = EventSource::builder(format!("http://localhost:{port}/"));
    assert_eq!(data(&mut builder.once().build().unwrap()).await, ["1"]);
}

#[tokio::test]
async fn close_and_drop_end_the_socket() {
    let server = ScriptedServer::new([
        Answer::event_stream().send("data: 1\n\n").hold(),
        Answer::event_stream().send("data: 1\n\n").hold(),
    ]);
    let address = server.listen().await;
    let open = async || {
        let mut source = EventSource::new(format!("http://{address}/")).unwrap();
        while next(&mut source).await != Some(message("1", "")) {}
        source
    };
    open().await.close();
    server.left().await;
    drop(open().await);
    server.left().await;
}

/// A TLS server of one answer, which tells the protocol and the `Host` or authority it was asked with.
struct TlsServer {
    config: Arc<ServerConfig>,
    roots: RootCertStore,
}

impl TlsServer {
    fn new(protocols: &[&str]) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Self {
            config: Arc::new(config),
            roots,
        }
    }

    fn transport(&self, trust: bool) -> HyperTransport {
        let config = Arc::clone(&self.config);
        let transport = HyperTransport::new().connector(move |_| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(serve(acceptor, ours));
            async { Ok(Io::new(theirs)) }
        });
        if !trust {
            return transport;
        }
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        transport.tls_config(client)
    }
}

async fn serve(acceptor: TlsAcceptor, io: tokio::io::DuplexStream) -> io::Result<()> {
    let stream = acceptor.accept(io).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = request
            .headers()
            .get("host")
            .map(|host| host.to_str().unwrap().to_owned());
        let told = authority.or(host).unwrap_or_default();
        let data = format!(
            "data: {:?} {told} {}\n\n",
            request.version(),
            request.uri().path()
        );
        http::Response::builder()
            .header("content-type", "text/event-stream")
            .body(Full::new(Bytes::from(data)))
    });
    let io = TokioIo::new(stream);
    let served = match is_http2 {
        true => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(io, service).await
        }
        false => {
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(io, service).await
        }
    };
    served.map_err(io::Error::other)
}

#[tokio::test]
async fn over_tls_the_protocol_is_negotiated_and_the_host_is_named() {
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0 example.com /x"),
        (&["http/1.1"], "HTTP/1.1 example.com /x"),
        (&[], "HTTP/1.1 example.com /x"),
    ] {
        let server = TlsServer::new(protocols);
        let mut source = EventSource::builder("https://example.com/x")
            .transport(server.transport(true))
            .header("x-a", "b")
            .once()
            .build()
            .unwrap();
        assert_eq!(data(&mut source).await, [expected]);
    }
}

/// Sends an event of HTTP/2 and, when it has been read, ends the stream in this way; `None` is the proper end.
async fn end_with(
    acceptor: TlsAcceptor,
    io: tokio::io::DuplexStream,
    read: Arc<Notify>,
    end: Option<h2::Reason>,
) {
    let stream = acceptor.accept(io).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let response = http::Response::builder().header("content-type", "text/event-stream");
        let mut body = respond
            .send_response(response.body(()).unwrap(), false)
            .unwrap();
        let event = Bytes::from("data: 1\n\n");
        body.send_data(event, end.is_none()).unwrap();
        if let Some(reason) = end {
            tokio::select! {
                // The event goes out first, or the reset would overtake it.
                _ = std::future::poll_fn(|cx| connection.poll_closed(cx)) => {}
                () = read.notified() => {}
            }
            body.send_reset(reason);
        }
    }
}

#[tokio::test]
async fn a_reset_without_an_error_in_the_middle_of_a_body_of_http_2_is_a_cut() {
    let cut = || Seen::Error("the event stream was cut".into());
    for (end, last) in [
        (Some(h2::Reason::NO_ERROR), cut()),
        (Some(h2::Reason::CANCEL), cut()),
        (Some(h2::Reason::INTERNAL_ERROR), cut()),
        (None, Seen::Closed),
    ] {
        let server = TlsServer::new(&["h2"]);
        let config = Arc::clone(&server.config);
        let read = Arc::new(Notify::new());
        let has_read = Arc::clone(&read);
        let transport = server.transport(true).connector(move |_| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(end_with(acceptor, ours, Arc::clone(&has_read), end));
            async { Ok(Io::new(theirs)) }
        });
        let mut source = EventSource::builder("https://example.com/x")
            .transport(transport)
            .once()
            .build()
            .unwrap();
        while next(&mut source).await != Some(message("1", "")) {}
        read.notify_one();
        assert_eq!(all(&mut source).await, [last]);
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_of_another_name_is_refused() {
    let server = TlsServer::new(&[]);
    for (url, trust) in [
        ("https://example.com/", false),
        ("https://example.org/", true),
    ] {
        let mut source = EventSource::builder(url)
            .transport(server.transport(trust))
            .build()
            .unwrap();
        let item = async {
            loop {
                if let Item::Waiting(waiting) = source.next().await.unwrap().unwrap() {
                    return waiting.cause.unwrap();
                }
            }
        };
        let error = within(TEST_TIMEOUT, item).await.unwrap();
        assert!(error.is_transport(), "{error}");
    }
}
