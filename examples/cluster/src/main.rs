//! Two bells on one broker: each node's strokes reach the readers of both, and when a node is killed, its readers go over
//! to the other and miss nothing.
//!
//! The README beside it runs it with three commands.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use bellwether::{Application, BoxError, Json, ServerEventsResponse, ServerSentEvent, Topics, get};
use bellwether_nats::NatsBroker;
use bellwether_redis::RedisBroker;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};

const STROKES_EVERY: Duration = Duration::from_millis(250);

// A page reads from both nodes, of which one is another origin to it.
const ANY_ORIGIN: (&str, &str) = ("access-control-allow-origin", "*");

// A node. Each start of it has a number, by which the page tells whose strokes it reads.
#[derive(Clone)]
struct Node {
    run: u32,
    topics: Topics,
}

// A reader that comes back goes on after its last stroke, whichever node it comes from.
#[get("/bells", state = Node)]
async fn bells(State(node): State<Node>) -> Result<ServerEventsResponse, bellwether::HttpError> {
    let reader = node.topics.topic("bells")?.subscribe().open()?;
    Ok(ServerEventsResponse::new(reader).header(ANY_ORIGIN.0, ANY_ORIGIN.1))
}

#[get("/node", state = Node)]
async fn node(State(node): State<Node>) -> impl IntoResponse {
    let pid = std::process::id();
    let told = json!({ "run": node.run, "pid": pid, "is_ready": node.topics.is_ready() });
    ([ANY_ORIGIN], Json(told))
}

// A stroke that the broker did not confirm is published again under the same key, so readers get it once.
async fn ring(node: Node) -> Result<(), BoxError> {
    let bells = node.topics.topic("bells")?;
    let mut strokes = interval(STROKES_EVERY);
    strokes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        strokes.tick().await;
        let stroke = ServerSentEvent::json(json!({ "run": node.run, "number": number }));
        let key = format!("{}-{number}", node.run);
        while let Err(error) = bells.publish_with_key(&key, &stroke)?.await {
            if !error.is_unavailable() {
                return Err(error.into());
            }
            sleep(STROKES_EVERY).await;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let broker = std::env::args().nth(1);
    let broker = broker.as_deref().unwrap_or("nats://127.0.0.1:4222");
    let topics = match broker.starts_with("redis") {
        true => Topics::with(RedisBroker::connect(broker).await?).await?,
        false => Topics::with(NatsBroker::connect(broker).await?).await?,
    };
    let run = fastrand::u32(..);
    let node_state = Node { run, topics };
    tokio::spawn(ring(node_state.clone()));
    let app = Application::new().route(bells).route(node);
    app.serve_files(concat!(env!("CARGO_MANIFEST_DIR"), "/page"))
        .state(node_state)
        .run()
        .await?;
    Ok(())
}
