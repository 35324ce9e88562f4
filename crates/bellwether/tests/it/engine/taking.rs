//! Which streams the delivery engine takes, and that layers hold around them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::middleware;
use axum::response::Response;
use bellwether::{
    Application, CloseReason, HttpError, ServerEventsResponse, ServerSentEvent, StreamDefaults,
    get, post, stream,
};
use bellwether_testkit::{RawClient, eventually};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::subscriptions::{Path, SOON, closed_for, news, open, publish, serve_topic, subscribes};
use crate::support::serve;

#[tokio::test]
async fn subscriptions_on_plain_http_1_1_are_taken_and_nothing_else() {
    let (topics, news) = news();
    let posted = news.clone();
    let responded = news.clone();
    let application = subscribes(Path::Engine.application(), &news, |s| s)
        .route((
            "/response",
            get(move || {
                responded
                    .subscribe()
                    .open()
                    .map(|s| ServerEventsResponse::new(s).header("x-feed", "demo"))
                    .map_err(HttpError::from)
            }),
        ))
        .route((
            "/post",
            post(move |_: String| Ok::<_, HttpError>(posted.subscribe().open()?)),
        ))
        .route((
            "/generator",
            get(
                || stream!(yield ServerSentEvent::text("one"); std::future::pending::<()>().await;),
            ),
        ));
    let (running, address) = serve(application).await;
    for (index, path) in ["/", "/response"].into_iter().enumerate() {
        let mut client = RawClient::connect_and_get(address, path).await;
        let head = client.read_head().await;
        assert_eq!(head.status, 200);
        eventually("the engine", SOON, || {
            running.streams().engine == index as u64 + 1
        })
        .await;
    }
    let mut client = RawClient::connect(address).await;
    client
        .send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    client.read_head().await;
    publish(&news, "to all");
    assert_eq!(client.next_event().await.unwrap().data, "to all");
    assert_eq!(running.streams().engine, 3);

    let mut client = RawClient::connect_and_get(address, "/generator").await;
    client.read_head().await;
    client.next_event().await.unwrap();
    let mut old = RawClient::connect(address).await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    old.read_head().await;
    publish(&news, "also to the old");
    assert_eq!(old.next_event().await.unwrap().data, "also to the old");
    let mut head = RawClient::connect(address).await;
    head.request("HEAD", "/", &[]).await;
    assert_eq!(head.read_head().await.status, 200);
    assert_eq!(running.streams().engine, 3, "no other");
    eventually("those to leave", SOON, || topics.subscriber_count() == 2).await;
}

/// A body that looks at each piece and changes none.
struct Counted {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
        polled
    }
}

/// A body that only passes on what it is asked, in the thinnest way there is.
struct Passing(Body);

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = axum::Error;

    #[inline(always)]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

#[tokio::test]
async fn the_engine_sends_through_every_layer_and_the_layer_sees_every_frame() {
    let (_, news) = news();
    let bytes = Arc::<AtomicU64>::default();
    let count = Arc::clone(&bytes);
    let counting = middleware::map_response(move |response: Response| {
        let bytes = Arc::clone(&count);
        async move { response.map(|body| Body::new(Counted { body, bytes })) }
    });
    let passing = middleware::map_response(async |response: Response| {
        response.map(|body| Body::new(Passing(body)))
    });
    let application = subscribes(Path::Engine.application(), &news, |s| s)
        .layer(passing)
        .layer(counting);
    let (running, address) = serve(application).await;
    let mut client = open(address, &running).await;
    for text in ["one", "two", "three"] {
        publish(&news, text);
        assert_eq!(client.next_event().await.unwrap().data, text);
    }
    assert_eq!(running.streams().engine, 1);
    let body: usize = client
        .raw()
        .split(|byte| *byte == b'\n')
        .filter(|line| {
            [&b"retry:"[..], b"event:", b"id:", b"data:"]
                .iter()
                .any(|field| line.starts_with(field))
        })
        .map(|line| line.len() + 1)
        .sum();
    // The opening event and the three others end with a blank line.
    assert_eq!(bytes.load(Ordering::SeqCst), body as u64 + 4);
}

#[tokio::test]
async fn a_wrapper_around_a_body_lives_until_the_stream_ends() {
    /// Holds a position for as long as its body lives, and only delegates.
    struct Guarded {
        body: Passing,
        open: Arc<AtomicU64>,
    }

    impl http_body::Body for Guarded {
        type Data = Bytes;
        type Error = axum::Error;

        #[inline(always)]
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Pin::new(&mut self.body).poll_frame(cx)
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    for path in Path::BOTH {
        let (_, news) = news();
        let open_now = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&open_now);
        let guard = middleware::map_response(move |response: Response| {
            let open = Arc::clone(&counted);
            async move {
                open.fetch_add(1, Ordering::SeqCst);
                response.map(|body| {
                    let body = Passing(body);
                    Body::new(http_body_util::BodyExt::boxed_unsync(Guarded {
                        body,
                        open,
                    }))
                })
            }
        });
        let (running, address) =
            serve(subscribes(path.application(), &news, |s| s).layer(guard)).await;
        let mut client = open(address, &running).await;
        for text in ["one", "two"] {
            publish(&news, text);
            assert_eq!(client.next_event().await.unwrap().data, text);
            assert_eq!(open_now.load(Ordering::SeqCst), 1, "{path:?}");
        }
        drop(client);
        closed_for(&running, CloseReason::ClientLeft).await;
        eventually("the guard to go", SOON, || {
            open_now.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn events_published_while_the_head_is_on_its_way_are_not_lost() {
    let (_, news) = news();
    let topic = news.clone();
    // Published after the subscription began and before anything of it was sent.
    let handler = move || {
        let subscription = topic.subscribe().open()?;
        publish(&topic, "early");
        Ok::<_, HttpError>(subscription)
    };
    let (running, address) = serve(Path::Engine.application().route(("/", get(handler)))).await;
    for _ in 0..50 {
        let mut client = open(address, &running).await;
        assert_eq!(client.next_event().await.unwrap().data, "early");
    }
    assert_eq!(running.streams().engine, 50);
}

#[tokio::test]
async fn a_pipelined_request_does_not_close_the_stream_before_it() {
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
    publish(&news, "hello");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("data: hello\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
    let streams = running.streams();
    assert_eq!((streams.opened, streams.engine), (1, 1));
    drop(stream);
    closed_for(&running, CloseReason::ClientLeft).await;
}

#[tokio::test]
async fn an_application_can_do_without_the_engine() {
    let (_, news) = news();
    let defaults = StreamDefaults::new().no_engine();
    let application = subscribes(Application::new().streams(defaults), &news, |s| s);
    let (running, address) = serve(application).await;
    let mut client = open(address, &running).await;
    publish(&news, "hello");
    assert_eq!(client.next_event().await.unwrap().data, "hello");
    assert_eq!(running.streams().engine, 0);
}
