//! `vectors/connection.json`, through the client.

use std::time::Duration;

use bellwether_client::transport::Io;
use bellwether_client::{
    Encoding, EventSource, EventSourceBuilder, HyperTransport, Item, Retry, State,
};
use bellwether_testkit::{ScriptedServer, TEST_TIMEOUT, within};

use crate::cases::{Case, End, Event, Outcome, connection_cases, requests};

/// Runs a case until the source is where it is expected to end, or until patience does.
pub(crate) async fn run(
    case: &Case,
    builder: EventSourceBuilder,
    servers: [&ScriptedServer; 2],
    there: &str,
) -> Outcome {
    let retry = Retry::default().no_jitter().backoff(Duration::ZERO);
    let mut source = builder
        .retry(retry)
        .accept_encodings([Encoding::Gzip, Encoding::Deflate])
        .build()
        .unwrap();
    let mut outcome = Outcome {
        events: Vec::new(),
        requests: Vec::new(),
        there_requests: Vec::new(),
        opens: 0,
        errors: 0,
        end: End::Connecting,
    };
    let wanted = &case.expected;
    while !(outcome.errors == wanted.errors && outcome.events.len() == wanted.events.len())
        || wanted.end == End::Closed
    {
        let item = within(TEST_TIMEOUT, source.next()).await;
        match item.unwrap_or_else(|| panic!("{}: waited; {outcome:?}", case.name)) {
            Some(Ok(Item::Open(_))) => outcome.opens += 1,
            Some(Ok(Item::Message(message))) => {
                let is_there = message.origin() == format!("http://{there}");
                outcome.events.push(Event(
                    message.event.as_str().to_owned(),
                    message.data,
                    message.last_event_id.as_str().to_owned(),
                    if is_there { "there" } else { "here" }.to_owned(),
                ));
            }
            Some(Ok(Item::Waiting(_)) | Err(_)) => outcome.errors += 1,
            Some(Ok(_)) => {}
            None => break,
        }
    }
    outcome.end = match source.state() {
        State::Open => End::Open,
        State::Closed => End::Closed,
        _ => End::Connecting,
    };
    [outcome.requests, outcome.there_requests] = servers.map(requests);
    outcome
}

#[tokio::test(start_paused = true)]
async fn every_case_of_connections_goes_as_the_standard_says() {
    let cases = connection_cases();
    assert!(cases.len() > 150, "found {} cases", cases.len());
    for case in cases {
        let servers = [(); 2].map(|()| ScriptedServer::new([]));
        let [here, there] = &servers;
        case.play([here, there], "here.example", "there.example");
        let transport = {
            let servers = servers.clone();
            HyperTransport::new().connector(move |target| {
                let is_there = target.host == "there.example";
                let pipe = servers[usize::from(is_there)].connect();
                async { pipe.map(Io::new) }
            })
        };
        let builder = EventSource::builder("http://here.example/events").transport(transport);
        let outcome = run(&case, builder, [here, there], "there.example").await;
        assert_eq!(outcome, case.expected, "{}", case.name);
    }
}
