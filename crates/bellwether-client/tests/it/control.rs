//! What a server of Bellwether says about the stream itself: its opening, its end, its failures.

use std::time::Duration;

use bellwether_client::{Item, read_events};
use bellwether_testkit::{Answer, ScriptedServer, TEST_TIMEOUT, within};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::Full;

use crate::support::*;

const OPEN: &str = "event: bellwether.open\ndata: {\"keep_alive_ms\":15000}\nid: 7\n\n";
const FINISHED: &str = "event: bellwether.finished\ndata: {}\nid: bellwether.finished\n\n";
const ERROR: &str = "event: bellwether.error\ndata: {\"status\":500}\n\n";
const STOPPING: &str = "event: bellwether.stopping\ndata: {}\n\n";

fn told(texts: &[&str]) -> Answer {
    Answer::event_stream().send(texts.concat())
}

#[tokio::test(start_paused = true)]
async fn an_opening_event_is_not_shown_and_a_cut_before_the_first_event_loses_nothing() {
    let server = ScriptedServer::new([told(&[OPEN]).cut(), told(&[OPEN, "data: 1\n\n"])]);
    let mut source = source(&server).build().unwrap();
    let items = all(&mut source).await;
    assert_eq!(items[1], Seen::Open);
    assert!(matches!(items[2], Seen::Waiting(..)), "{items:?}");
    assert_eq!(items[5], message("1", "7"));
    let seven = Some("7".to_owned());
    assert_eq!(ids(&server), [None, seven.clone(), seven]);
}

#[tokio::test(start_paused = true)]
async fn opened_streams_that_bring_no_event_are_failures_all_the_same() {
    let server = ScriptedServer::new([told(&[OPEN]), told(&[OPEN]), told(&[OPEN])]);
    all(&mut source(&server).build().unwrap()).await;
    assert_eq!(pauses(&server), [4, 5, 7].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn after_three_keep_alives_that_were_promised_and_missed_a_stream_is_dead() {
    for (opening, seconds) in [(OPEN, 45), ("event: bellwether.open\ndata: {}\n\n", 300)] {
        let server = ScriptedServer::new([told(&[opening, "data: 1\n\n"]).hold()]);
        let items = all(&mut source(&server).build().unwrap()).await;
        let Seen::Waiting(_, Some(cause)) = &items[3] else {
            panic!("{items:?}");
        };
        let expected = format!("no byte of the stream arrived within {seconds}s");
        assert_eq!(*cause, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn whether_a_stream_was_whole_is_decided_by_its_events_where_they_tell() {
    let cut = || Seen::Error("the event stream was cut".into());
    let failed = "the server failed in the middle of the stream: {\"status\":500}";
    for (answer, last) in [
        (told(&["data: 1\n\n", FINISHED]), Seen::Closed),
        (told(&["data: 1\n\n", FINISHED]).cut(), Seen::Closed),
        (told(&["data: 1\n\n", FINISHED]).hold(), Seen::Closed),
        (told(&["data: 1\n\n", ERROR]).cut(), cut()),
        // As a proxy passes on what was cut.
        (told(&["data: 1\n\n", ERROR]), Seen::Error(failed.into())),
        (told(&["data: 1\n\n", STOPPING]), cut()),
        (told(&["data: 1\n\n"]), Seen::Closed),
    ] {
        let server = ScriptedServer::new([answer]);
        let mut source = source(&server).once().build().unwrap();
        assert_eq!(all(&mut source).await.pop(), Some(last));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_behind_a_clean_end_is_the_cause_of_the_reconnect() {
    let server = ScriptedServer::new([told(&["id: 1\ndata: 1\n\n", ERROR])]);
    let items = all(&mut source(&server).build().unwrap()).await;
    let is_told = |cause: &str| cause.starts_with("the server failed in the middle");
    let told = items
        .iter()
        .any(|item| matches!(item, Seen::Waiting(_, Some(cause)) if is_told(cause)));
    assert!(told, "{items:?}");
    assert_eq!(ids(&server)[1].as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn typed_messages_never_take_what_is_said_of_the_stream_for_the_users_type() {
    let gap = "event: bellwether.gap\ndata: {}\n\n";
    let later = "event: bellwether.later\ndata: {}\n\n";
    let texts = [OPEN, "data: 1\n\n", gap, later, ERROR, STOPPING, FINISHED];
    let server = ScriptedServer::new([told(&texts).cut()]);
    let source = source(&server).once().build().unwrap();
    let mut numbers = source.messages::<u32>();
    assert_eq!(numbers.next().await.unwrap().unwrap().data, 1);
    let error = numbers.next().await.unwrap().unwrap_err();
    assert!(error.gap().is_some() && !error.is_closed(), "{error}");
    let error = numbers.next().await.unwrap().unwrap_err();
    assert_eq!(error.error_event(), Some("{\"status\":500}"));
    assert!(!error.is_closed());
    assert!(numbers.next().await.is_none());

    let mut events = read_events(Full::new(Bytes::from(texts.concat())));
    assert_eq!(events.next_json::<u32>().await.unwrap().unwrap().data, 1);
    assert!(
        events
            .next_json::<u32>()
            .await
            .unwrap()
            .unwrap_err()
            .gap()
            .is_some()
    );
    assert!(
        events
            .next_json::<u32>()
            .await
            .unwrap()
            .unwrap_err()
            .is_error_event()
    );
    assert!(events.next_json::<u32>().await.is_none());
}

#[tokio::test]
async fn a_body_is_whole_where_its_events_say_so() {
    let read = |texts: &[&str], is_cut: bool| {
        let end = is_cut.then(|| Err(std::io::Error::other("torn")));
        let pieces = [Ok(Bytes::from(texts.concat()))].into_iter().chain(end);
        let events = bellwether_client::read_event_bytes(stream::iter(pieces));
        events
            .map(|event| event.map(|event| event.event.as_str().to_owned()))
            .collect::<Vec<_>>()
    };
    let names = read(&[OPEN, "data: 1\n\n", FINISHED], true).await;
    let names: Vec<_> = names.into_iter().map(Result::unwrap).collect();
    assert_eq!(names, ["message", "bellwether.finished"]);
    for (texts, is_cut) in [
        (&["data: 1\n\n", ERROR][..], false),
        (&["data: 1\n\n"], true),
    ] {
        let last = read(texts, is_cut).await.pop().unwrap().unwrap_err();
        assert_eq!(
            (last.is_error_event(), last.is_closed()),
            (!is_cut, true),
            "{last}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_the_stream_is_there_among_the_items() {
    let server = ScriptedServer::new([told(&["data: 1\n\n", ERROR, FINISHED])]);
    let mut source = source(&server).once().build().unwrap();
    let mut names = Vec::new();
    while let Some(Ok(item)) = within(TEST_TIMEOUT, source.next()).await.unwrap() {
        if let Item::Message(message) = item {
            names.push(message.event.as_str().to_owned());
        }
    }
    assert_eq!(
        names,
        ["message", "bellwether.error", "bellwether.finished"]
    );
}
