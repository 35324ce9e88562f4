//! That clients see no difference: the same bytes over every path and protocol.

use std::time::Duration;

use bellwether::{Application, Listener, Topics};
use bellwether_testkit::{BodyEnd, RawClient, eventually};
use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::subscriptions::{Path, SOON, news, publish, subscribes};
use crate::support::serve;

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
        assert_eq!(running.streams().engine, 1);
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
    let (first, rest) = text.split_once('\n').unwrap();
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
