//! axum's own `Sse` as a peer.

use std::convert::Infallible;
use std::future::pending;
use std::io;

use async_stream::stream;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use tokio::net::TcpListener;

use super::{Asked, KEEP_ALIVE, Message};

/// Whether streams send keep-alives.
type Keeps = bool;

async fn generator(Query(asked): Query<Asked>, State(keeps): State<Keeps>) -> impl IntoResponse {
    let events = stream! {
        for i in 0..asked.events {
            yield event(i);
        }
    };
    let sse = Sse::new(events);
    if keeps {
        sse.keep_alive(keep_alive()).into_response()
    } else {
        sse.into_response()
    }
}

async fn idle(State(keeps): State<Keeps>) -> impl IntoResponse {
    let events = stream! {
        yield event(0);
        pending::<()>().await;
    };
    let sse = Sse::new(events);
    if keeps {
        sse.keep_alive(keep_alive()).into_response()
    } else {
        sse.into_response()
    }
}

fn event(i: u64) -> Result<Event, Infallible> {
    Ok(Event::default()
        .json_data(Message::new(i))
        .expect("a message is JSON"))
}

fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(KEEP_ALIVE)
}

pub(super) fn serve() -> io::Result<()> {
    run(true)
}

pub(super) fn serve_silent() -> io::Result<()> {
    run(false)
}

fn run(keeps: Keeps) -> io::Result<()> {
    let router = Router::new()
        .route("/generator", get(generator))
        .route("/idle", get(idle));
    super::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        super::announce(listener.local_addr()?)?;
        axum::serve(listener, router.with_state(keeps)).await
    })
}
