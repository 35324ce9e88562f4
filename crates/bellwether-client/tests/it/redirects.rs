//! Redirects: where they lead, what goes along, and when they end.

use bellwether_client::HyperTransport;
use bellwether_client::transport::Io;
use bellwether_client::{EventSource, Item, event_id};
use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::*;

// request-redirect, for each status; relative locations.
#[tokio::test(start_paused = true)]
async fn every_redirect_is_followed_and_the_next_connection_begins_at_the_url_again() {
    for status in [301, 302, 303, 307, 308] {
        let server = ScriptedServer::new([
            Answer::redirect(status, "../b?x=1"),
            Answer::event_stream().send("id: 1\ndata: 1\n\n"),
        ]);
        let mut source = source_for(&server, "http://example.com/a/events")
            .build()
            .unwrap();
        assert_eq!(data(&mut source).await, ["1"]);
        let requests = server.requests();
        let targets: Vec<_> = requests.iter().map(|request| &*request.target).collect();
        assert_eq!(targets, ["/a/events", "/b?x=1", "/a/events"], "{status}");
        assert_eq!(requests[2].header("last-event-id"), Some("1"));
    }
}

/// A source with secrets whose requests are seen by the server of their host.
fn with_secrets(here: &ScriptedServer, there: &ScriptedServer) -> EventSource {
    let (here, there) = (here.clone(), there.clone());
    let transport = HyperTransport::new().connector(move |target| {
        let pipe = match target.host.as_str() {
            "here.example" if target.port == 80 => here.connect(),
            _ => there.connect(),
        };
        async { pipe.map(Io::new) }
    });
    EventSource::builder("http://here.example/")
        .transport(transport)
        .header("cookie", "a=secret")
        .header("x-api-key", "secret")
        .header("accept-language", "secret")
        .bearer_token(|| async { Ok::<_, std::io::Error>("secret".to_owned()) })
        .last_event_id(event_id!("7"))
        .build()
        .unwrap()
}

// CVE-2022-1650: what an EventSource sent on to another origin.
#[tokio::test(start_paused = true)]
async fn credentials_never_reach_another_origin() {
    for location in [
        "http://there.example/x",
        "http://here.example:8080/",
        "//there.example",
    ] {
        let there = ScriptedServer::new([
            Answer::redirect(307, "/further"),
            Answer::event_stream().send("data: 1\n\n"),
        ]);
        let here = ScriptedServer::new([Answer::redirect(307, location)]);
        let mut source = with_secrets(&here, &there);
        let mut origin = String::new();
        while let Some(Ok(item)) = source.next().await {
            if let Item::Message(message) = item {
                origin = message.origin().to_owned();
            }
        }
        assert_eq!(
            here.requests()[0].header("authorization"),
            Some("Bearer secret")
        );
        assert_eq!(there.requests().len(), 2, "{location}");
        for request in there.requests() {
            let head = String::from_utf8_lossy(&request.head).into_owned();
            assert!(!head.contains("secret"), "{location}: {head}");
            assert_eq!(request.header("last-event-id"), Some("7"));
        }
        let expected = match location {
            "http://here.example:8080/" => "http://here.example:8080",
            _ => "http://there.example",
        };
        assert_eq!(origin, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_does_not_bring_credentials_back() {
    let here = ScriptedServer::new([
        Answer::redirect(302, "http://there.example/"),
        Answer::event_stream().send("data: 1\n\n"),
    ]);
    let there = ScriptedServer::new([Answer::redirect(302, "http://here.example/chosen")]);
    let mut source = with_secrets(&here, &there);
    while let Some(Ok(_)) = source.next().await {}
    let requests = here.requests();
    assert_eq!(requests[1].target, "/chosen");
    assert!(!String::from_utf8_lossy(&requests[1].head).contains("secret"));
    assert_eq!(
        requests[2].header("x-api-key"),
        Some("secret"),
        "a new connection is a new way"
    );
}

#[tokio::test(start_paused = true)]
async fn endless_redirects_end() {
    let server = ScriptedServer::new([Answer::redirect(302, "/again")]).repeat_last();
    let items = all(&mut source(&server).build().unwrap()).await;
    let text =
        "cannot follow the redirect with status 302 Found: there are more redirects than allowed";
    assert_eq!(items, [Seen::Connecting, Seen::Error(text.into())]);
    assert_eq!(server.requests().len(), 21);

    let server = ScriptedServer::new([Answer::redirect(302, "/again")]).repeat_last();
    all(&mut source(&server).max_redirects(0).build().unwrap()).await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_that_leads_nowhere_is_final() {
    for answer in [
        Answer::status(301),
        Answer::redirect(302, "ftp://example.com/"),
        Answer::redirect(302, "http://me:pw@example.com/"),
        Answer::redirect(302, "http://"),
    ] {
        let server = ScriptedServer::new([answer]);
        let mut source = source(&server).build().unwrap();
        source.next().await;
        let error = source.next().await.unwrap().unwrap_err();
        assert!(error.is_redirect() && error.is_closed(), "{error}");
        assert!(error.status().unwrap().is_redirection());
        assert!(error.headers().is_some());
    }
}
