//! A market's prices, which change faster than people read: a reader that falls behind gets the newest of each good.
//!
//! `cargo run --example dashboard`, then open http://127.0.0.1:8000

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bellwether::{Application, HttpError, Json, Policy, PublishOptions, Subscription, Topics, get};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::interval;

const GOODS: [&str; 12] = [
    "Hay", "Salt", "Milk", "Barley", "Clover", "Wool", "Felt", "Butter", "Cheese", "Brass",
    "Tweed", "Bells",
];
// Half a minute.
const MAX_PRICES: usize = 1200;

// How many prices there have been of each good, and the last of them.
type Prices = (u64, BTreeMap<&'static str, VecDeque<f64>>);

#[derive(Clone)]
struct Market {
    topics: Topics,
    prices: watch::Receiver<Prices>,
}

// The start of a page. The position in the log is taken before the state is read: a price of the moment between comes
// again in the stream, and none is missed.
#[get("/snapshot", state = Market)]
async fn snapshot(State(market): State<Market>) -> Json<Value> {
    let after = market.topics.head().to_string();
    let (number, prices) = &*market.prices.borrow();
    Json(json!({ "after": after, "number": number, "prices": prices }))
}

#[get("/prices", state = Market)]
async fn stream(State(market): State<Market>) -> Result<Subscription, HttpError> {
    let prices = market.topics.topic("prices")?.subscribe();
    Ok(prices.policy(Policy::latest_per_key()).open()?)
}

// One copy serves the examples.
#[get("/bellwether-client.js", state = Market)]
async fn client() -> impl IntoResponse {
    let script = include_str!("chat/bellwether-client.js");
    ([(CONTENT_TYPE, "text/javascript")], script)
}

async fn trade(topics: Topics, state: watch::Sender<Prices>) -> Result<(), HttpError> {
    let topic = topics.typed("prices")?;
    let mut ticks = interval(Duration::from_millis(25));
    loop {
        ticks.tick().await;
        state.send_modify(|(number, prices)| {
            *number += 1;
            for line in prices.values_mut() {
                let price = line.back().unwrap_or(&1.0) * (0.998 + 0.004 * fastrand::f64());
                line.push_back((price * 100.0).round() / 100.0);
                line.drain(..line.len().saturating_sub(MAX_PRICES));
            }
        });
        let (number, prices) = state.borrow().clone();
        for (good, line) in &prices {
            let price = json!({ "good": good, "price": line.back(), "number": number });
            let options = PublishOptions::new().conflation_key(good);
            topic.publish_with(options, &price)?.await?;
        }
    }
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    let topics = Topics::new();
    let opening = (1..).map(|i| VecDeque::from([30.0 * f64::from(i)]));
    let (state, prices) = watch::channel((0, GOODS.into_iter().zip(opening).collect()));
    tokio::spawn(trade(topics.clone(), state));
    let app = Application::new()
        .route(snapshot)
        .route(stream)
        .route(client);
    app.serve_files(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboard"))
        .state(Market { topics, prices })
        .run()
        .await
}
