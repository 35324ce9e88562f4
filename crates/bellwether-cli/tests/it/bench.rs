//! `bellwether bench`: the figures of streams whose events are known.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_testkit::{Answer, ScriptedServer};
use serde_json::Value;

use crate::support::{Running, run};

async fn serve(answer: Answer) -> (ScriptedServer, String) {
    let server = ScriptedServer::new([answer]).repeat_last();
    let address = server.listen().await;
    (server, format!("http://{address}/events"))
}

#[tokio::test]
async fn events_bytes_latency_and_order_are_measured() {
    // Made now, so it is at most as old as this test when it arrives.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut answer = Answer::event_stream();
    for number in [1, 2, 2, 5, 4] {
        answer = answer.send(format!("data: {{\"i\":{number}}}\n\n"));
    }
    for number in 6..200 {
        let event = format!("data: {{\"i\":{number},\"t\":{}}}\n\n", now.as_millis());
        answer = answer.pause(Duration::from_millis(10)).send(event);
    }
    let (_server, url) = serve(answer.hold()).await;
    let arguments = [
        "bench",
        &url,
        "--streams",
        "3",
        "--seconds",
        "0.5",
        "--json",
    ];
    let done = run(&arguments, b"").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let report: Value = serde_json::from_str(done.text()).unwrap();
    assert_eq!(
        (&report["streams"], &report["opened"]),
        (&3.into(), &3.into())
    );
    assert_eq!(report["order"]["by"], "i");
    for (what, count) in [("lost", 3), ("duplicated", 3), ("reordered", 3)] {
        assert_eq!(report["order"][what], count, "{what} in {report}");
    }
    let events = report["events"].as_u64().unwrap();
    assert!(events >= 3, "{report}");
    assert!(report["bytes"].as_u64().unwrap() > events * 20, "{report}");
    let latency = &report["latency"];
    assert!(latency["events"].as_u64().unwrap() >= 3, "{report}");
    assert!(latency["p50_us"].as_u64() <= latency["p99.9_us"].as_u64());
    assert!(latency["max_us"].as_u64().unwrap() < 60_000_000, "{report}");
    assert!(report["connects_per_second"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn streams_that_never_pause_leave_room_for_the_others() {
    let (_server, url) =
        serve(Answer::event_stream().send_repeatedly("data: x\n\n".repeat(1000))).await;
    let done = run(
        &[
            "bench",
            &url,
            "-n",
            "16",
            "--seconds",
            "0.2",
            "--json",
            "-q",
        ],
        b"",
    )
    .await;
    let report: Value = serde_json::from_str(done.text()).unwrap();
    assert_eq!(report["opened"], 16);
    assert!(
        report["connect_seconds"].as_f64().unwrap() < 5.0,
        "{report}"
    );
}

#[tokio::test]
async fn people_get_a_table_and_progress_on_standard_error() {
    let (_server, url) = serve(Answer::event_stream().send("data: x\n\n").hold()).await;
    let done = run(&["bench", &url, "-n", "2", "--seconds", "1.2"], b"").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(
        done.text().starts_with("streams   2 of 2 opened in "),
        "{}",
        done.text()
    );
    assert!(
        done.text().contains("latency   not known"),
        "{}",
        done.text()
    );
    assert!(done.err.contains(" 2 streams, "), "{}", done.err);
}

#[tokio::test]
async fn streams_that_do_not_open_give_no_figures_but_a_reason() {
    let refused = Answer::status(403).send("no").with_length();
    let (_server, url) = serve(refused).await;
    let done = run(&["bench", &url, "-n", "2", "-q", "--json"], b"").await;
    let report: Value = serde_json::from_str(done.text()).unwrap();
    assert_eq!((done.code, &report["opened"]), (Some(1), &0.into()));
    let failure = report["first_failure"].as_str().unwrap();
    assert!(failure.contains("403"), "{failure}");

    let (_server, url) = serve(Answer::empty_reply()).await;
    let done = run(&["bench", &url, "-n", "2", "-q"], b"").await;
    assert_eq!(done.code, Some(3), "{}", done.text());
    let done = run(&["bench", "ftp://a/"], b"").await;
    assert_eq!(done.code, Some(2), "{}", done.err);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_run_reports_what_it_has() {
    let (server, url) = serve(Answer::event_stream().hold()).await;
    let mut bench = Running::start(&["bench", &url, "-n", "2", "--seconds", "600", "--json"]);
    server.requested(2).await;
    bench.news("2 streams").await;
    bench.signal("INT").await;
    let report: Value = serde_json::from_str(&bench.line().await).unwrap();
    assert_eq!(report["opened"], 2);
    assert_eq!(bench.end().await.0.code(), Some(130));
}
