//! The delivery engine by itself: which streams it takes, that nobody can tell, and what it does to its readers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::middleware;
use axum::response::Response;
use bellwether::{
    Application, CloseReason, HttpError, Listener, ServerEventsResponse, ServerSentEvent,
    StreamDefaults, Timeouts, Topics, get, post, stream,
};
use bellwether_testkit::{BodyEnd, RawClient, eventually};
use bytes::BytesMut;
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
async fn a_body_that_a_layer_has_wrapped_stays_on_the_ordinary_path() {
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
    let touching = middleware::map_response(async |mut response: Response| {
        response
            .headers_mut()
            .insert("x-seen", "1".parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    // The number of streams that the engine takes with this layer around.
    let applications: [(Application, u64); 3] = [
        (
            subscribes(Path::Engine.application(), &news, |s| s).layer(counting),
            0,
        ),
        (
            subscribes(Path::Engine.application(), &news, |s| s).layer(passing.clone()),
            0,
        ),
        (
            subscribes(Path::Engine.application(), &news, |s| s).layer(touching),
            1,
        ),
    ];
    for (application, taken) in applications {
        let (running, address) = serve(application).await;
        let mut client = open(address, &running).await;
        publish(&news, "hello");
        assert_eq!(client.next_event().await.unwrap().data, "hello");
        assert_eq!(running.streams().engine, taken);
    }
    assert!(
        bytes.load(Ordering::SeqCst) > 20,
        "the layer has seen the event"
    );

    // As a route of an axum router, with a layer around that alone.
    let topic = news.clone();
    let plain = move || async move {
        topic
            .subscribe()
            .open()
            .map(ServerEventsResponse::new)
            .map_err(HttpError::from)
    };
    let router = axum::Router::new()
        .route("/", axum::routing::get(plain.clone()))
        .route("/wrapped", axum::routing::get(plain).layer(passing));
    let (running, address) = serve(Path::Engine.application().merge(router)).await;
    for (path, taken) in [("/wrapped", 0), ("/", 1)] {
        let mut client = RawClient::connect_and_get(address, path).await;
        client.read_head().await;
        publish(&news, "hello");
        assert_eq!(client.next_event().await.unwrap().data, "hello");
        assert_eq!(running.streams().engine, taken, "{path}");
    }
}

/// Everything that is sent to a client of these topics, from a replay over live events to a gap and the end.
async fn story(body: impl Future<Output = BytesMut>, topics: Topics) -> String {
    let tells = async {
        let news = topics.topic("news").unwrap();
        eventually("the subscription", SOON, || news.subscriber_count() == 1).await;
        for i in 0..50 {
            publish(&news, format!("live {i}\nsecond line"));
            if i % 9 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        publish(&news, "x".repeat(100_000));
        eventually("time to read", SOON, || true).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        topics.kick("reader");
    };
    let (body, ()) = tokio::join!(body, tells);
    let text = String::from_utf8(body.to_vec()).unwrap();
    // The epoch and the tags differ from log to log, the first line from stream to stream.
    let (first, rest) = text.split_once("\n\n").unwrap();
    assert!(first.starts_with("retry: "), "{first}");
    rest.lines()
        .map(|line| match line.strip_prefix("id: ") {
            Some(id) => format!("id: {}\n", id.split('.').nth(2).unwrap()),
            None => format!("{line}\n"),
        })
        .collect()
}

fn storyteller(path: Path) -> (Application, Topics) {
    let (topics, news) = news();
    for i in 0..20 {
        publish(&news, format!("before {i}"));
    }
    let application = subscribes(path.application(), &news, |subscribe| {
        subscribe.after("nonsense").subject("reader")
    });
    (application, topics)
}

#[tokio::test]
async fn every_path_and_protocol_sends_the_same_bytes() {
    let mut stories = Vec::new();
    for path in Path::BOTH {
        let (application, topics) = storyteller(path);
        let (running, address) = serve(application).await;
        let body = async {
            let mut client = RawClient::connect_and_get(address, "/").await;
            client.read_head().await;
            let (body, end) = client.read_to_end().await;
            assert_eq!(end, BodyEnd::Clean);
            BytesMut::from(&body[..])
        };
        stories.push((format!("{path:?}"), story(body, topics).await));
        assert_eq!(running.streams().engine, path.taken(1));
    }
    {
        let (application, topics) = storyteller(Path::Engine);
        let (running, address) = serve(application).await;
        let body = async {
            let stream = TcpStream::connect(address).await.unwrap();
            read_http2(stream).await
        };
        stories.push(("HTTP/2".to_owned(), story(body, topics).await));
        assert_eq!(running.streams().engine, 0);
    }
    #[cfg(feature = "tls")]
    {
        let (application, topics) = storyteller(Path::Engine);
        let listener = crate::serving::tls::listener().await;
        let address = listener.address().socket_addr().unwrap();
        let running = application.start(listener).await.unwrap();
        let body = async {
            let stream = crate::serving::tls::connect(address, &[b"http/1.1"]).await;
            let mut client = RawClient::over(stream);
            client.get("/", &[]).await;
            client.read_head().await;
            BytesMut::from(&client.read_to_end().await.0[..])
        };
        stories.push(("TLS".to_owned(), story(body, topics).await));
        assert_eq!(running.streams().engine, 0);
    }
    {
        let directory =
            std::env::temp_dir().join(format!("bellwether-engine-{}", std::process::id()));
        let (application, topics) = storyteller(Path::Engine);
        let running = application
            .start(Listener::unix(&directory).await.unwrap())
            .await
            .unwrap();
        let body = async {
            let stream = tokio::net::UnixStream::connect(&directory).await.unwrap();
            let mut client = RawClient::over(stream);
            client.get("/", &[]).await;
            client.read_head().await;
            BytesMut::from(&client.read_to_end().await.0[..])
        };
        stories.push(("Unix socket".to_owned(), story(body, topics).await));
        assert_eq!(running.streams().engine, 0);
    }
    let (_, first) = &stories[0];
    assert!(
        first.contains("event: bellwether.gap\n")
            && first.contains("data: live 49\ndata: second line\n")
    );
    for (name, story) in &stories {
        assert!(
            story == first,
            "{name} differs:\n{story:.500}\nfrom\n{first:.500}"
        );
    }
}

async fn read_http2(stream: TcpStream) -> BytesMut {
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://localhost/").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut read = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        read.extend_from_slice(&data);
    }
    connection.abort();
    read
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_never_reads_takes_no_event_from_anybody_and_is_evicted_by_the_deadline() {
    const STUCK: usize = 200;
    const GOOD: usize = 20;
    const EVENTS: usize = 1_500;
    let (_, news) = news();
    let application = subscribes(Path::Engine.application(), &news, |s| s)
        .timeouts(Timeouts::default().write_stall(Duration::from_secs(2)));
    let (running, address) = serve(application).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(open_narrow(address).await);
    }
    let mut readers = Vec::new();
    for _ in 0..GOOD {
        let mut client = open(address, &running).await;
        readers.push(tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            for i in 0..EVENTS {
                let event = client.next_event().await.unwrap();
                let (number, sent) = event.data.split_once(' ').unwrap();
                assert_eq!(number, i.to_string());
                let sent: u128 = sent.split(' ').next().unwrap().parse().unwrap();
                slowest = slowest.max(Duration::from_micros((micros() - sent).try_into().unwrap()));
            }
            (slowest, client)
        }));
    }
    let filler = "x".repeat(2_000);
    for i in 0..EVENTS {
        publish(&news, format!("{i} {} {filler}", micros()));
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let mut good = Vec::new();
    for reader in readers {
        let (slowest, client) = reader.await.unwrap();
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        good.push(client);
    }
    eventually("the crowd to be evicted", SOON, || {
        running.streams().open <= GOOD as u64
    })
    .await;
    let streams = running.streams();
    let evicted = streams.closed(CloseReason::TooSlow);
    assert_eq!(evicted, STUCK as u64, "{streams:?}");
    assert_eq!(
        (streams.open, streams.engine),
        (GOOD as u64, (STUCK + GOOD) as u64)
    );
    assert_eq!(news.subscriber_count(), GOOD);
    drop((stuck, good));
    eventually("the others to leave", SOON, || running.streams().open == 0).await;
    assert_eq!(
        running.streams().closed(CloseReason::ClientLeft),
        GOOD as u64
    );
}

/// A client whose socket never grows: left to itself, the kernel may take megabytes for somebody who reads nothing.
async fn open_narrow(address: SocketAddr) -> RawClient {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    let mut client = RawClient::over(socket.connect(address).await.unwrap());
    client.get("/", &[]).await;
    assert_eq!(client.read_head().await.status, 200);
    client
}

/// Microseconds since the first call.
fn micros() -> u128 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros()
}

#[tokio::test]
async fn a_reader_that_stops_and_goes_on_gets_every_event_whole() {
    let (_, news) = news();
    let (running, address) = serve_topic(Path::Engine, &news).await;
    let mut client = open(address, &running).await;
    let mut next = 0_u64;
    for round in 0..5_u64 {
        // More than any socket holds, in pieces of all sizes.
        for i in 0..60 {
            let number = round * 60 + i;
            publish(
                &news,
                format!("{number} {}", "x".repeat((i as usize * 3_571) % 70_000)),
            );
            tokio::task::yield_now().await;
        }
        while next < (round + 1) * 60 {
            let event = client.next_event().await.unwrap();
            assert_eq!(event.data.split(' ').next().unwrap(), next.to_string());
            next += 1;
        }
    }
    assert_eq!(running.streams().engine, 1);
}

#[tokio::test]
async fn a_pipelined_request_is_no_goodbye_and_keeps_its_stream_on_the_ordinary_path() {
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
    while !read.ends_with(b"data: hello\n\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
    let streams = running.streams();
    assert_eq!((streams.opened, streams.engine), (1, 0));
    drop(stream);
    closed_for(&running, CloseReason::ClientLeft).await;
}

#[tokio::test]
async fn connections_give_their_places_back_when_their_streams_end() {
    let (topics, news) = news();
    let application = subscribes(Path::Engine.application(), &news, |s| s.subject("all")).limits(
        bellwether::Limits::default()
            .max_connections(2)
            .max_refusals(0),
    );
    let (running, address) = serve(application).await;
    for _ in 0..3 {
        let mut clients = [open(address, &running).await, open(address, &running).await];
        let mut refused = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            refused.read(&mut [0; 8]).await.unwrap_or(0),
            0,
            "closed at once"
        );
        eventually("the engine", SOON, || topics.subscriber_count() == 2).await;
        topics.kick("all");
        for client in &mut clients {
            assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        }
        drop(clients);
        // The place is free when the server has seen the client's own close.
        let mut free = false;
        for _ in 0..200 {
            let mut probe = RawClient::connect(address).await;
            probe.get("/missing", &[]).await;
            let some = probe.read_some().await;
            if !some.is_empty() {
                free = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(free);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
