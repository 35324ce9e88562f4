//! `bellwether send`: what is published, in which order, and what is said of refusals.

use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::{Running, run};

fn id(id: &str) -> Answer {
    Answer::status(200).send(format!("{id}\n")).with_length()
}

async fn serve(answers: impl IntoIterator<Item = Answer>) -> (ScriptedServer, String) {
    let server = ScriptedServer::new(answers);
    let address = server.listen().await;
    (server, format!("http://{address}"))
}

#[tokio::test]
async fn each_line_is_published_in_order_and_its_id_printed() {
    let (server, url) = serve([id("1.a"), id("1.b"), id("1.c")]).await;
    let arguments = ["send", &url, "--topic", "a b", "-H", "x-key: k"];
    let done = run(&arguments, "first\n\nthé last".as_bytes()).await;
    assert_eq!((done.text(), done.err.as_str()), ("1.a\n1.b\n1.c\n", ""));
    assert_eq!(done.code, Some(0));
    let requests = server.requests();
    let bodies: Vec<&[u8]> = requests.iter().map(|request| &request.body[..]).collect();
    assert_eq!(bodies, [&b"first"[..], b"", "thé last".as_bytes()]);
    for request in &requests {
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/publish?topic=a%20b");
        assert_eq!(request.header("x-key"), Some("k"));
    }
}

#[tokio::test]
async fn a_line_is_published_when_it_comes() {
    let (_server, url) = serve([id("1"), id("2")]).await;
    let mut send = Running::start(&["send", &format!("{url}/"), "-t", "x"]);
    send.write(b"a\nb").await;
    assert_eq!(send.line().await, "1");
    send.close_input();
    assert_eq!(send.line().await, "2");
    assert_eq!(send.end().await.0.code(), Some(0));
}

#[tokio::test]
async fn data_of_the_arguments_is_published_instead_of_the_input() {
    let (server, url) = serve([id("1"), id("2")]).await;
    let done = run(&["send", &url, "-d", "a\nb", "-d", "c"], b"ignored\n").await;
    assert_eq!(done.text(), "1\n2\n");
    assert_eq!(server.requests()[0].body, "a\nb");
    assert_eq!(server.requests()[0].target, "/publish");
}

#[tokio::test]
async fn a_refusal_is_told_with_status_and_reason_and_the_others_go_through() {
    let refused = Answer::status(413)
        .send("the event is\ntoo large")
        .with_length();
    let (_server, url) = serve([id("1"), refused, id("3")]).await;
    let done = run(&["send", &url, "-t", "x"], b"a\nb\nc\n").await;
    assert_eq!((done.text(), done.code), ("1\n3\n", Some(1)));
    let expected =
        "bellwether: line 2: refused with status 413 Payload Too Large: the event is too large\n";
    assert_eq!(done.err, expected);
}

#[tokio::test]
async fn without_an_answer_nothing_more_is_sent() {
    let (server, url) = serve([id("1"), Answer::empty_reply(), id("3")]).await;
    let done = run(&["send", &url], b"a\nb\nc\n").await;
    assert_eq!((done.text(), done.code), ("1\n", Some(3)));
    let expected = format!("bellwether: line 2: cannot publish to {url}/publish: ");
    assert!(done.err.starts_with(&expected), "{}", done.err);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_address_that_is_none_is_wrong_usage() {
    let done = run(&["send", "ftp://a/"], b"a\n").await;
    assert_eq!(done.code, Some(2), "{}", done.err);
}

#[tokio::test]
async fn a_204_or_a_page_is_no_id_and_nothing_more_goes_there() {
    let page = "<!doctype html>\n<title>Welcome</title>\n";
    for (answer, found) in [
        (Answer::status(204), "found status 204 No Content"),
        (
            Answer::status(202).send("1").with_length(),
            "found status 202 Accepted",
        ),
        (
            Answer::status(200)
                .header("content-type", "text/html; charset=utf-8")
                .send("1")
                .with_length(),
            "found content type \"text/html\"",
        ),
        (
            Answer::status(200).send(page).with_length(),
            "found a body that is no id",
        ),
        (
            Answer::status(200).send("\n").with_length(),
            "found an empty body",
        ),
    ] {
        let (server, url) = serve([answer, id("2")]).await;
        let done = run(&["send", &url, "-t", "x"], b"private\ntoo\n").await;
        assert_eq!((done.text(), done.code), ("", Some(1)), "{found}");
        assert!(done.err.contains(found), "{}", done.err);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_user_in_the_address_is_sent_as_a_header_and_not_as_host() {
    let (server, url) = serve([id("1")]).await;
    let host = url.strip_prefix("http://").unwrap().to_owned();
    let done = run(&["send", &format!("me:secret@{host}"), "-d", "a"], b"").await;
    assert_eq!((done.text(), done.err.as_str()), ("1\n", ""));
    let requests = server.requests();
    assert_eq!(requests[0].header("host"), Some(&*host));
    assert_eq!(
        requests[0].header("authorization"),
        Some("Basic bWU6c2VjcmV0")
    );
}
