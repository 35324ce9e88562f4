//! Statuses that are tried again, by choice.

use std::time::Duration;

use bellwether_client::{Item, Retry};
use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

fn patient() -> Retry {
    Retry::default().no_jitter().unavailable()
}

#[tokio::test(start_paused = true)]
async fn a_passing_refusal_is_told_and_tried_again_with_the_id() {
    for status in [429, 500, 502, 503, 504] {
        let server = ScriptedServer::new([
            Answer::event_stream().send("id: 1\ndata: 1\n\n"),
            Answer::status(status).header("x-a", "b").send("overloaded"),
            Answer::event_stream().send("data: 2\n\n"),
        ]);
        let mut source = source(&server).retry(patient()).build().unwrap();
        let mut causes = Vec::new();
        let mut got = Vec::new();
        while let Some(Ok(item)) = source.next().await {
            match item {
                Item::Waiting(waiting) => causes.extend(waiting.cause),
                Item::Message(message) => got.push(message.data),
                _ => {}
            }
        }
        assert_eq!(got, ["1", "2"]);
        let [cause] = &causes[..] else {
            panic!("{causes:?}");
        };
        assert!(cause.is_status() && !cause.is_closed());
        assert_eq!(cause.status().unwrap().as_u16(), status);
        assert_eq!(cause.headers().unwrap()["x-a"], "b");
        assert_eq!(cause.body_start().unwrap(), "overloaded");
        assert_eq!(ids(&server)[2].as_deref(), Some("1"));
        assert_eq!(pauses(&server), [3 * SECOND, 4 * SECOND, 3 * SECOND]);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_and_never_shortens() {
    let refusal = |value: &str| {
        Answer::status(503)
            .header("date", "Fri, 02 Jan 2026 12:00:00 GMT")
            .header("retry-after", value)
    };
    let server = ScriptedServer::new([
        refusal("60"),
        refusal("1"),
        refusal("Fri, 02 Jan 2026 12:02:00 GMT"),
        refusal("soon"),
    ]);
    let retry = patient().backoff(Duration::ZERO);
    all(&mut source(&server).retry(retry).build().unwrap()).await;
    assert_eq!(
        pauses(&server),
        [60, 3, 120, 3].map(|seconds| seconds * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn other_statuses_stay_final_and_the_limit_counts_refusals() {
    let server = ScriptedServer::new([Answer::status(404)]);
    let items = all(&mut source(&server).retry(patient()).build().unwrap()).await;
    assert_eq!(items.len(), 2);

    let server = ScriptedServer::new([Answer::status(503).send("no")]).repeat_last();
    let retry = patient().max_failures(4);
    let mut source = source(&server).retry(retry).build().unwrap();
    let error = loop {
        if let Err(error) = source.next().await.unwrap() {
            break error;
        }
    };
    assert!(error.has_given_up());
    assert_eq!(error.status().unwrap().as_u16(), 503);
    assert_eq!(error.body_start().unwrap(), "no");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_does_not_end_is_told_after_a_moment() {
    for body in [
        Answer::status(400).send("why").hold(),
        Answer::status(400).send("why").cut(),
        Answer::status(400).send("why").reset(),
    ] {
        let server = ScriptedServer::new([body]);
        let mut source = source(&server).build().unwrap();
        source.next().await;
        let error = source.next().await.unwrap().unwrap_err();
        assert_eq!(error.body_start().unwrap(), "why");
    }
    let endless = Answer::status(400).send_repeatedly("x".repeat(1000));
    let mut source = source(&ScriptedServer::new([endless])).build().unwrap();
    source.next().await;
    let error = source.next().await.unwrap().unwrap_err();
    assert_eq!(error.body_start().unwrap().len(), 8 * 1024);
}
