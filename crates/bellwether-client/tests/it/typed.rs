//! Values instead of text: gaps, and messages of one type.

use bellwether_client::{EventSource, Gap, GapReason, Item, event_name};
use bellwether_testkit::{Answer, ScriptedServer};
use serde::Deserialize;

use crate::support::*;

const GAP: &str = "id: 9\nevent: bellwether.gap\ndata: {\"reason\":\"trimmed\",\"asked\":\"1.x\",\
                   \"floor\":40,\"head\":\"5-6\",\"lost\":12}\n\n";

async fn gap(source: &mut EventSource) -> Option<Gap> {
    while let Some(Ok(item)) = source.next().await {
        if let Item::Gap(gap) = item {
            return Some(gap);
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_a_value_in_its_place_and_the_next_connection_resumes_behind_it() {
    let stream = format!("id: 3\ndata: 1\n\n{GAP}data: 2\n\n");
    let server = ScriptedServer::new([Answer::event_stream().send(stream)]);
    let mut first = source(&server).build().unwrap();
    let items = all(&mut first).await;
    let lost = "the server has lost 12 events: trimmed".to_owned();
    assert_eq!(
        items[2..5],
        [message("1", "3"), Seen::Gap(lost), message("2", "9")]
    );
    assert_eq!(ids(&server)[1].as_deref(), Some("9"));

    let server = ScriptedServer::new([Answer::event_stream().send(GAP)]);
    let gap = gap(&mut source(&server).build().unwrap()).await.unwrap();
    assert_eq!(gap.reason, GapReason::Trimmed);
    assert_eq!(gap.asked.as_deref(), Some("1.x"));
    assert_eq!(gap.floor.as_deref(), Some("40"));
    assert_eq!(gap.head.as_deref(), Some("5-6"));
    assert_eq!((gap.lost, gap.last_event_id.as_str()), (Some(12), "9"));
}

#[tokio::test(start_paused = true)]
async fn reasons_of_later_servers_are_kept_and_what_is_no_gap_stays_a_message() {
    let told = |data: &str| {
        Answer::event_stream().send(format!("event: bellwether.gap\ndata: {data}\n\n"))
    };
    for reason in [
        "unknown",
        "epoch",
        "trimmed",
        "regressed",
        "lag",
        "damaged",
        "later",
    ] {
        let server = ScriptedServer::new([told(&format!("{{\"reason\":\"{reason}\"}}"))]);
        let gap = gap(&mut source(&server).build().unwrap()).await.unwrap();
        assert_eq!(gap.reason.to_string(), reason);
        assert_eq!(matches!(gap.reason, GapReason::Other(_)), reason == "later");
    }
    for data in ["", "{}", "lost", "[1]"] {
        let server = ScriptedServer::new([told(data)]);
        let items = all(&mut source(&server).build().unwrap()).await;
        let expected = Seen::Message("bellwether.gap".into(), data.into(), String::new());
        assert_eq!(items[2], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_name_of_gaps_can_be_another_or_none() {
    let server =
        || ScriptedServer::new([Answer::event_stream().send(GAP.replace("bellwether.", ""))]);
    let mut renamed = source(&server())
        .gap_event(event_name!("gap"))
        .build()
        .unwrap();
    assert!(gap(&mut renamed).await.is_some());
    let server = ScriptedServer::new([Answer::event_stream().send(GAP)]);
    assert!(
        gap(&mut source(&server).no_gap_event().build().unwrap())
            .await
            .is_none()
    );
}

#[derive(Debug, Deserialize, PartialEq)]
struct Price {
    cents: u64,
}

#[tokio::test(start_paused = true)]
async fn typed_messages_go_on_over_bad_data_gaps_and_reconnects_and_tell_the_end() {
    let first = format!("event: price\nid: 1\ndata: {{\"cents\":5}}\n\ndata: five\n\n{GAP}");
    let server = ScriptedServer::new([
        Answer::event_stream().send(first).cut(),
        Answer::event_stream().send("data: {\"cents\":6}\n\n"),
    ]);
    let mut prices = source(&server).build().unwrap().messages::<Price>();
    let price = prices.next().await.unwrap().unwrap();
    assert_eq!(price.origin(), "http://example.com");
    assert_eq!(
        (price.event.as_str(), price.data),
        ("price", Price { cents: 5 })
    );

    let error = prices.next().await.unwrap().unwrap_err();
    assert!(error.is_json() && !error.is_closed(), "{error}");
    // The reason is in the message itself, and once.
    let message = error.to_string();
    assert!(
        message.starts_with("cannot read the data of an event") && message.contains("at line 1"),
        "{message}"
    );
    assert_eq!(format!("{error:#}"), message);
    let error = prices.next().await.unwrap().unwrap_err();
    assert_eq!(error.gap().unwrap().lost, Some(12));
    assert!(!error.is_closed());

    assert_eq!(
        prices.next().await.unwrap().unwrap().data,
        Price { cents: 6 }
    );
    let error = prices.next().await.unwrap().unwrap_err();
    assert!(error.is_finished() && error.is_closed());
    assert!(prices.next().await.is_none());
    assert!(prices.next().await.is_none());
    assert_eq!(prices.source().last_event_id(), "9");
}
