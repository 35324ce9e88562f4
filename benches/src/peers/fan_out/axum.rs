//! axum's own `Sse` over a broadcast channel, as its users build it.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::broadcast::Sender;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

type Channel = Sender<String>;

async fn events(State(channel): State<Channel>) -> impl IntoResponse {
    let events = BroadcastStream::new(channel.subscribe())
        // Lagging is a gap, which the readers find.
        .filter_map(Result::ok)
        .map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(super::KEEP_ALIVE))
}

async fn publish(State(channel): State<Channel>, data: String) {
    // Without readers this is no error.
    let _ = channel.send(data);
}

pub(in crate::peers) fn serve() -> io::Result<()> {
    run(router())
}

/// The routes of this peer.
pub(in crate::peers) fn router() -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/publish", post(publish))
        .with_state(Channel::new(super::BACKLOG))
}

/// Serves routes by `axum::serve`.
pub(in crate::peers) fn run(router: Router) -> io::Result<()> {
    super::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        super::announce(listener.local_addr()?)?;
        axum::serve(listener, router).await
    })
}
