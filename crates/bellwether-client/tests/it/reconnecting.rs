//! What was measured of reconnects: how long, how often, and what a client does that browsers do not.

use std::time::Duration;

use bellwether_client::{EventId, Retry, event_id};
use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn without_retry_the_wait_is_three_seconds_and_seven_clean_ends_do_not_change_it() {
    let one = Answer::event_stream().send("data: 1\n\n");
    let server = ScriptedServer::new(vec![one; 7]);
    all(&mut source(&server).build().unwrap()).await;
    assert_eq!(pauses(&server), [3 * SECOND; 7]);
}

#[tokio::test(start_paused = true)]
async fn retry_zero_waits_for_the_minimum() {
    let eager = || Answer::event_stream().send("retry: 0\ndata: 1\n\n");
    let server = ScriptedServer::new([eager(), eager()]);
    all(&mut source(&server).build().unwrap()).await;
    assert_eq!(pauses(&server), [SECOND / 2; 2]);

    let server = ScriptedServer::new([eager(), eager()]);
    let retry = Retry::default().min_delay(Duration::ZERO);
    all(&mut source(&server).retry(retry).build().unwrap()).await;
    assert_eq!(pauses(&server), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn chance_only_makes_waits_longer_by_a_tenth_at_most() {
    let one = Answer::event_stream().send("retry: 10000\ndata: 1\n\n");
    let server = ScriptedServer::new(vec![one; 40]);
    let mut source = source(&server).retry(Retry::default()).build().unwrap();
    all(&mut source).await;
    let pauses = pauses(&server);
    // Tokio's timers tick in milliseconds, and round up.
    let range = 10 * SECOND..=11 * SECOND + Duration::from_millis(1);
    assert!(
        pauses.iter().all(|pause| range.contains(pause)),
        "{pauses:?}"
    );
    let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
    assert!(distinct.len() > 20, "{pauses:?}");
}

// The server is down for a while: connections are refused, then the stream resumes.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_asked_more_and_more_seldom_and_the_stream_resumes() {
    let mut answers = vec![Answer::event_stream().send("id: 7\nretry: 1000\ndata: 1\n\n")];
    answers.extend(vec![Answer::refused(); 7]);
    answers.push(Answer::event_stream().send("data: 2\n\n"));
    let server = ScriptedServer::new(answers);
    let mut source = source(&server).build().unwrap();
    let items = all(&mut source).await;
    let waits: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Seen::Waiting(delay, _) => Some(delay.as_secs()),
            _ => None,
        })
        .collect();
    // The first after an event; then 1 s and 1, 2, 4 … 30 s; then an event has come.
    assert_eq!(waits, [1, 2, 3, 5, 9, 17, 31, 31, 1]);
    assert_eq!(ids(&server)[1].as_deref(), Some("7"));
    assert!(items.contains(&message("2", "7")));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_without_an_event_is_a_failure_and_only_an_event_resets() {
    let empty = || Answer::event_stream().send(": comment\nid: 1\n\nretry: 1000\n\n");
    let event = || Answer::event_stream().send("data: 1\n\n");
    let server = ScriptedServer::new([empty(), empty(), empty(), event(), empty(), event()]);
    all(&mut source(&server).build().unwrap()).await;
    let expected = [2, 3, 5, 1, 2, 1].map(|seconds| seconds * SECOND);
    assert_eq!(pauses(&server), expected);
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_exactly_so_many_failures_in_a_row() {
    let server = ScriptedServer::new([
        Answer::refused(),
        Answer::refused(),
        Answer::event_stream().send("data: 1\n\n"),
        Answer::refused(),
    ])
    .repeat_last();
    let retry = Retry::default().no_jitter().max_failures(3);
    let mut source = source(&server).retry(retry).build().unwrap();
    let items = all(&mut source).await;
    let attempts = items.iter().filter(|item| **item == Seen::Connecting);
    assert_eq!(attempts.count(), 6, "{items:?}");
    let last = "gave up after 3 failures in a row".to_owned();
    assert_eq!(items.last(), Some(&Seen::Error(last)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_is_a_failure() {
    let server = ScriptedServer::new([
        Answer::silence(),
        Answer::raw().send_repeatedly("").hold(),
        Answer::event_stream().send("data: 1\n\n"),
    ]);
    let mut source = source(&server)
        .connect_timeout(10 * SECOND)
        .build()
        .unwrap();
    assert_eq!(next(&mut source).await, Some(Seen::Connecting));
    let cause = Some("no response within 10s".to_owned());
    assert_eq!(
        next(&mut source).await,
        Some(Seen::Waiting(4 * SECOND, cause))
    );
    // While it waits, it has no connection.
    server.left().await;
    drop(source);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_silent_for_too_long_is_dead_and_comments_keep_it_alive() {
    let mut answer = Answer::event_stream().send("id: 1\ndata: 1\n\n");
    for _ in 0..10 {
        answer = answer.pause(40 * SECOND).send(":\n");
    }
    let server = ScriptedServer::new([answer.hold()]);
    let mut source = source(&server).idle_timeout(45 * SECOND).build().unwrap();
    let items = all(&mut source).await;
    let cause = Some("no byte of the stream arrived within 45s".to_owned());
    assert_eq!(items[3], Seen::Waiting(3 * SECOND, cause));
    assert_eq!(pauses(&server), [(400 + 45 + 3) * SECOND]);
    assert_eq!(ids(&server)[1].as_deref(), Some("1"));
    server.left().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_does_not_take_the_stream_for_dead() {
    let answer = Answer::event_stream()
        .send("data: 1\n\n")
        .send("data: 2\n\n");
    let server = ScriptedServer::new([answer.hold()]);
    let mut source = source(&server).build().unwrap();
    while next(&mut source).await != Some(message("1", "")) {}
    tokio::time::sleep(3600 * SECOND).await;
    assert_eq!(next(&mut source).await, Some(message("2", "")));
}

#[tokio::test(start_paused = true)]
async fn the_default_idle_timeout_is_five_minutes_and_can_be_switched_off() {
    let quiet = || Answer::event_stream().send("data: 1\n\n");
    let server = ScriptedServer::new([quiet().hold()]);
    all(&mut source(&server).build().unwrap()).await;
    assert_eq!(pauses(&server), [303 * SECOND]);

    let late = quiet().pause(3600 * SECOND).send("data: 2\n\n");
    let server = ScriptedServer::new([late]);
    let mut patient = source(&server).no_idle_timeout().build().unwrap();
    assert_eq!(data(&mut patient).await, ["1", "2"]);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_resumes_after_a_stored_id_and_tells_the_last_one() {
    let server = ScriptedServer::new([
        Answer::event_stream().send("data: 1\n\n"),
        Answer::event_stream().send("id: 43\ndata: 2\n\n"),
    ]);
    let mut resumed = source(&server)
        .last_event_id(event_id!("42"))
        .build()
        .unwrap();
    assert_eq!(resumed.last_event_id(), "42");
    all(&mut resumed).await;
    let expected = [Some("42"), Some("42"), Some("43")];
    assert_eq!(ids(&server), expected.map(|id| id.map(str::to_owned)));
    let stored = EventId::new(resumed.last_event_id()).unwrap();
    assert_eq!(stored, "43");
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_what_the_digits_of_retry_say_up_to_two_to_the_53_milliseconds() {
    let largest = 1 << 53;
    for millis in [2_147_483_648, 31_536_000_000, largest, u64::MAX] {
        let text = format!("retry: {millis}\ndata: 1\n\n");
        let server = ScriptedServer::new([Answer::event_stream().send(text)]);
        let mut source = source(&server).build().unwrap();
        loop {
            if let Seen::Waiting(delay, None) = next(&mut source).await.unwrap() {
                assert_eq!(delay, Duration::from_millis(millis.min(largest)));
                break;
            }
        }
    }
}
