//! A feed with its web page: knowing that the client has left or that the server is stopping, static
//! files, and error details for the developer.
//!
//! `cargo run --example server_sent_events`, then open http://127.0.0.1:8000

use std::time::Duration;

use bellwether::{Application, Request, ServerSentEvent, Stream, get, is_stopping, stream};
use serde_json::json;
use tokio::time::sleep;

#[get("/events")]
fn events(request: Request) -> impl Stream<Item = ServerSentEvent> {
    stream!(
        let mut i = 0;
        loop {
            if request.is_disconnected() {
                println!("The request is disconnected!");
                break;
            }
            if is_stopping() {
                println!("The application is stopping!");
                break;
            }
            i += 1;
            yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
            sleep(Duration::from_secs(1)).await;
        }
    )
}

#[tokio::main]
async fn main() -> bellwether::Result<()> {
    tracing_subscriber::fmt().init();
    Application::new()
        .show_error_details(true)
        .serve_files(concat!(env!("CARGO_MANIFEST_DIR"), "/static"))
        .route(events)
        .run()
        .await
}
