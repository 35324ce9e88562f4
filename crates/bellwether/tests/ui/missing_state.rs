//! A route whose state the application does not have.

use axum::extract::State;
use bellwether::{Application, get};

#[derive(Clone)]
struct AppState;

#[get("/any")]
async fn any_state(State(_): State<AppState>) {}

#[get("/named", state = AppState)]
async fn named_state(State(_): State<AppState>) {}

fn main() {
    let _ = Application::new().route(any_state).into_router();
    let _ = Application::new().route(named_state).into_router();
}
