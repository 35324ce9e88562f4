//! Request bodies that no handler reads: their bytes are never taken for a request, and never cut the stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, HttpBody};
use axum::extract::Request as AxumRequest;
use axum::middleware::Next;
use bellwether::{
    Application, CloseReason, Request, Running, ServerEventsResponse, ServerSentEvent, Stream, get,
    post, stream,
};
use bellwether_testkit::{BodyEnd, RawClient, TEST_TIMEOUT, eventually};
use tokio::sync::Notify;

use crate::support::serve;

/// What is smuggled: a request to a path that a proxy in front would forbid.
const INNER: &str = "GET /secret HTTP/1.1\r\nhost: x\r\n\r\n";

/// A server with one stream, whose second half waits for [`Scene::go_on`], and a path that counts its visitors.
struct Scene {
    _running: Running,
    address: SocketAddr,
    secrets: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum Layers {
    None,
    /// A middleware that puts the body into a wrapper of its own.
    Wrapping,
}

fn halves(go_on: Arc<Notify>) -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("first");
        go_on.notified().await;
        yield ServerSentEvent::text("last");
    )
}

async fn scene(layers: Layers) -> Scene {
    let secrets = Arc::<AtomicUsize>::default();
    let go_on = Arc::<Notify>::default();
    let seen = Arc::clone(&secrets);
    let secret = move || async move {
        seen.fetch_add(1, Ordering::SeqCst);
        "secret"
    };
    let (to_get, to_post, to_half) = (Arc::clone(&go_on), Arc::clone(&go_on), Arc::clone(&go_on));
    let half = async move |request: AxumRequest| {
        let mut body = request.into_body();
        // One frame, and then the body is dropped.
        let _ = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        drop(body);
        ServerEventsResponse::new(halves(to_half))
    };
    let mut router = axum::Router::new()
        .route("/get", get(move || halves(Arc::clone(&to_get))))
        .route("/post", post(move || halves(Arc::clone(&to_post))))
        .route("/half", axum::routing::post(half))
        .route("/secret", axum::routing::get(secret));
    if let Layers::Wrapping = layers {
        router = router.layer(axum::middleware::from_fn(
            |request: AxumRequest, next: Next| async move {
                next.run(request).await.map(|body| Body::new(Wrapper(body)))
            },
        ));
    }
    let (running, address) = serve(Application::new().merge(router)).await;
    Scene {
        _running: running,
        address,
        secrets,
        go_on,
    }
}

/// Does nothing but delegate.
struct Wrapper(Body);

impl HttpBody for Wrapper {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// When the bytes of the body are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    WithTheHead,
    ByteByByte,
    AfterTheHead,
    AfterTheFirstEvent,
    AfterTheEnd,
}

const EVERY_TIME: [When; 5] = [
    When::WithTheHead,
    When::ByteByByte,
    When::AfterTheHead,
    When::AfterTheFirstEvent,
    When::AfterTheEnd,
];

/// Sends a request whose body is `body` by its framing, at this time, and reads the stream to its end.
async fn exchange(scene: &Scene, head: &str, body: &[u8], when: When) {
    let mut client = RawClient::connect(scene.address).await;
    match when {
        When::WithTheHead => client.send([head.as_bytes(), body].concat()).await,
        When::ByteByByte => {
            for byte in [head.as_bytes(), body].concat() {
                client.send([byte]).await;
                tokio::task::yield_now().await;
            }
        }
        _ => client.send(head).await,
    }
    let answer = client.read_head().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"), "{head:?}");
    if when == When::AfterTheHead {
        client.send(body).await;
    }
    assert_eq!(client.next_event().await.unwrap().data, "first");
    if when == When::AfterTheFirstEvent {
        client.send(body).await;
    }
    scene.go_on.notify_one();
    assert_eq!(client.next_event().await.unwrap().data, "last");
    assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
    if when == When::AfterTheEnd {
        client.send(body).await;
    }
    let events = client.raw().len();
    assert_eq!(client.closed().await, BodyEnd::Cut, "closed, not reset");
    assert_eq!(client.raw().len(), events, "no second answer");
    assert_eq!(scene.secrets.load(Ordering::SeqCst), 0);
}

/// A head for each way of framing, and the body as it is then framed.
fn framings(start: &str, body: &str) -> [(String, String); 2] {
    let accept = "host: x\r\naccept: text/event-stream\r\n";
    [
        (
            format!(
                "{start} HTTP/1.1\r\n{accept}content-length: {}\r\n\r\n",
                body.len()
            ),
            body.to_owned(),
        ),
        (
            format!("{start} HTTP/1.1\r\n{accept}transfer-encoding: chunked\r\n\r\n"),
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        ),
    ]
}

#[tokio::test]
async fn a_body_that_is_not_read_is_never_a_request_at_any_time_under_any_layer() {
    for layers in [Layers::None, Layers::Wrapping] {
        let scene = scene(layers).await;
        for start in ["GET /get", "POST /post", "POST /half"] {
            for (head, body) in framings(start, INNER) {
                for when in EVERY_TIME {
                    // The handler that reads half gets a first half, and drops the body before the rest is there.
                    let (head, body) = match (start, when) {
                        ("POST /half", When::WithTheHead | When::ByteByByte) => continue,
                        ("POST /half", _) => {
                            let (first, rest) = body.split_at(body.len() / 2);
                            (format!("{head}{first}"), rest)
                        }
                        _ => (head.clone(), body.as_str()),
                    };
                    exchange(&scene, &head, body.as_bytes(), when).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_expected_and_not_read_is_never_a_request() {
    let scene = scene(Layers::None).await;
    for (head, body) in framings("POST /post", INNER) {
        let head = head.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
        for when in EVERY_TIME {
            exchange(&scene, &head, body.as_bytes(), when).await;
        }
    }
}

#[tokio::test]
async fn a_body_on_http_1_0_is_never_a_request() {
    let scene = scene(Layers::None).await;
    let length = INNER.len();
    let mut client = RawClient::connect(scene.address).await;
    let head = format!(
        "POST /post HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: {length}\r\n\r\n"
    );
    client.send(head).await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.next_event().await.unwrap().data, "first");
    client.send(INNER).await;
    scene.go_on.notify_one();
    assert_eq!(client.next_event().await.unwrap().data, "last");
    assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
    assert_eq!(scene.secrets.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_large_body_that_is_not_read_does_not_cut_the_stream() {
    for layers in [Layers::None, Layers::Wrapping] {
        let scene = scene(layers).await;
        for size in [9 * 1024, 100_000, 3 << 20] {
            let mut client = RawClient::connect(scene.address).await;
            let head = format!("POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n");
            client.send(head).await;
            assert_eq!(client.read_head().await.status, 200);
            assert_eq!(client.next_event().await.unwrap().data, "first");
            client.send(vec![b'x'; size.min(100_000)]).await;
            // The server looks at its sockets before it answers others.
            for _ in 0..3 {
                let mut other = RawClient::connect_and_get(scene.address, "/nothing").await;
                assert_eq!(other.read_head().await.status, 404);
            }
            scene.go_on.notify_one();
            assert_eq!(client.next_event().await.unwrap().data, "last");
            assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        }
    }
}

#[tokio::test]
async fn a_request_after_a_body_that_was_read_is_answered_on_the_same_connection() {
    let whole = |body: String| async move { stream!( yield ServerSentEvent::text(body); ) };
    let (_running, address) = serve(Application::new().route(("/whole", post(whole)))).await;
    let mut client = RawClient::connect(address).await;
    for text in ["one", "two", "three"] {
        for (head, body) in framings("POST /whole", text) {
            client.send(format!("{head}{body}")).await;
            let answer = client.read_head().await;
            assert_eq!((answer.status, answer.header("connection")), (200, None));
            assert_eq!(client.next_event().await.unwrap().data, text);
            assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        }
    }
}

#[tokio::test]
async fn a_handler_that_holds_its_request_notices_a_client_that_leaves_while_a_body_is_unread() {
    let ended = Arc::<Notify>::default();
    let tell = Arc::clone(&ended);
    let events = move |request: Request| {
        let tell = Arc::clone(&tell);
        stream!(
            yield ServerSentEvent::text("first");
            request.disconnected().await;
            tell.notify_one();
        )
    };
    let (running, address) = serve(Application::new().route(("/", post(events)))).await;
    let mut client = RawClient::connect(address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nsome")
        .await;
    client.read_head().await;
    assert_eq!(client.next_event().await.unwrap().data, "first");
    drop(client);
    ended.notified().await;
    eventually("the stream is closed", TEST_TIMEOUT, || {
        running.streams().closed(CloseReason::ClientLeft) == 1
    })
    .await;
}
