//! The same servers in front of Chromium and in front of the client: both give the same answer.
//!
//! Each case has servers of its own, so that the limit of six connections for an origin does not hold anything up, and
//! a frame of one page, so that all run at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_client::EventSource;
use bellwether_testkit::{Answer, Browser, ScriptedServer, Tab, or_skip};
use serde_json::{Value, json};

use crate::cases::{Case, End, Event, Outcome, PAGE, connection_cases, requests, vector_cases};
use crate::connection;

/// How many frames a page has at a time: Chromium has 256 sockets.
const AT_ONCE: usize = 180;

/// Frames report here. `play` opens one, `is_over` tells whether all have seen what they are to see.
const TOP: &str = "<!doctype html><title>cases</title><script>\
    const seen = {}, wanted = {};\
    addEventListener('message', ({ data: { number, state, what, event } }) => {\
      const frame = seen[number];\
      frame.state = state;\
      if (event) frame.events.push(event); else frame[what]++;\
    });\
    function play(frames) {\
      for (const { number, url, errors, events, end } of frames) {\
        seen[number] = { events: [], open: 0, error: 0, state: 0 };\
        wanted[number] = { errors, events, end };\
        const frame = document.body.appendChild(document.createElement('iframe'));\
        frame.src = url;\
      }\
    }\
    const is_over = () => Object.keys(seen).filter((number) => {\
      const frame = seen[number], { errors, events, end } = wanted[number];\
      const is_full = frame.error >= errors && frame.events.length >= events;\
      return !(frame.state === 2 || (end !== 'closed' && is_full));\
    });\
    </script><body></body>";

/// The page of one case, which listens for these names.
fn page(number: usize, names: &Value) -> String {
    format!(
        "<!doctype html><script>\
         const source = new EventSource('/events');\
         const tell = (what) => parent.postMessage(\
           {{ number: {number}, state: source.readyState, ...what }}, '*');\
         for (const name of new Set([...{names}, 'open', 'error'])) {{\
           source.addEventListener(name, (event) => tell(event instanceof MessageEvent\
             ? {{ event: [event.type, event.data, event.lastEventId, event.origin] }}\
             : {{ what: event.type }}));\
         }}\
         </script>"
    )
}

fn html(page: &str) -> Answer {
    Answer::status(200)
        .header("content-type", "text/html; charset=utf-8")
        .header("connection", "close")
        .send(page.to_owned())
        .until_close()
}

/// The two servers of one case.
struct Stage {
    servers: [ScriptedServer; 2],
    addresses: [SocketAddr; 2],
}

impl Stage {
    /// Servers with the script of the case, at `here` this page before it.
    async fn new(case: &Case, page: Option<String>) -> Self {
        let servers = [(); 2].map(|()| ScriptedServer::new([]));
        let addresses = [servers[0].listen().await, servers[1].listen().await];
        servers[0].push(page.as_deref().map(html));
        let [here, there] = addresses.map(|address| address.to_string());
        case.play([&servers[0], &servers[1]], &here, &there);
        Self { servers, addresses }
    }

    async fn client(case: &Case) -> Outcome {
        let stage = Self::new(case, None).await;
        let [here, there] = stage.addresses.map(|address| address.to_string());
        let builder = EventSource::builder(format!("http://{here}/events"));
        let [one, two] = &stage.servers;
        connection::run(case, builder, [one, two], &there).await
    }

    /// What the frame of this page has seen.
    fn chromium(&self, seen: &Value) -> Outcome {
        let there = format!("http://{}", self.addresses[1]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let count = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let events = seen["events"].as_array().unwrap().iter().map(|event| {
            let is_there = event[3] == there;
            let origin = if is_there { "there" } else { "here" };
            Event(
                text(&event[0]),
                text(&event[1]),
                text(&event[2]),
                origin.to_owned(),
            )
        });
        Outcome {
            events: events.collect(),
            requests: requests(&self.servers[0]),
            there_requests: requests(&self.servers[1]),
            opens: count(&seen["open"]),
            errors: count(&seen["error"]),
            end: match count(&seen["state"]) {
                0 => End::Connecting,
                1 => End::Open,
                _ => End::Closed,
            },
        }
    }
}

/// Plays the cases in frames of one page, and gives what each has seen.
async fn play(browser: &Browser, cases: &[Case]) -> Vec<Outcome> {
    let top = ScriptedServer::new([html(TOP)]);
    let tab = browser
        .open(&format!("http://{}/", top.listen().await))
        .await;
    let mut stages = Vec::new();
    let mut frames = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let stage = Stage::new(case, Some(page(number, &json!(case.names())))).await;
        let expected = case.chromium.as_ref().unwrap_or(&case.expected);
        frames.push(json!({
            "number": number,
            "url": format!("http://{}{PAGE}", stage.addresses[0]),
            "errors": expected.errors,
            "events": expected.events.len(),
            "end": format!("{:?}", expected.end).to_lowercase(),
        }));
        stages.push(stage);
    }
    tab.eval(&format!("play({})", Value::from(frames))).await;
    let seen = seen(&tab).await;
    let outcomes = stages
        .iter()
        .enumerate()
        .map(|(number, stage)| stage.chromium(&seen[number.to_string()]));
    let outcomes = outcomes.collect();
    tab.close().await;
    outcomes
}

/// Waits until all frames are where they should be, or until that takes too long: then the comparison tells why.
async fn seen(tab: &Tab) -> Value {
    let is_over = "Promise.resolve(is_over().length === 0)";
    let end = tokio::time::Instant::now() + Duration::from_secs(40);
    while tab.eval(is_over).await != true && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tab.eval("seen").await
}

/// Plays the cases to the client and in the browser; gives what differs.
async fn compare(browser: &Browser, cases: &mut [Case]) -> Vec<String> {
    // Those that wait as often as each other side by side.
    cases.sort_by_key(|case| std::cmp::Reverse(case.expected.errors));
    let mut differences = Vec::new();
    for cases in cases.chunks(AT_ONCE) {
        let clients = async {
            let mut running = tokio::task::JoinSet::new();
            for (number, case) in cases.iter().cloned().enumerate() {
                running.spawn(async move { (number, Stage::client(&case).await) });
            }
            let all = running.join_all().await;
            all.into_iter().collect::<BTreeMap<_, _>>()
        };
        let (clients, browsers) = tokio::join!(clients, play(browser, cases));
        for ((case, client), chromium) in cases.iter().zip(clients.values()).zip(&browsers) {
            let name = &case.name;
            let wanted = case.chromium.as_ref().unwrap_or(client);
            if wanted != chromium {
                differences.push(format!(
                    "{name}\n  client:   {client:?}\n  chromium: {chromium:?}"
                ));
            }
        }
    }
    differences
}

async fn check(mut cases: Vec<Case>) {
    let Some(browser) = or_skip(Browser::start().await) else {
        return;
    };
    let differences = compare(&browser, &mut cases).await;
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}

#[tokio::test]
async fn chromium_gives_the_same_answer_to_every_case_of_connections() {
    check(connection_cases()).await;
}

#[tokio::test]
async fn chromium_gives_the_same_answer_to_every_vector_of_the_format_however_it_is_cut() {
    let sizes = [usize::MAX, 7, 1];
    check(sizes.into_iter().flat_map(vector_cases).collect()).await;
}
