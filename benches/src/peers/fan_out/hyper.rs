//! hyper alone: every event is encoded once, and each reader's body sends the shared bytes.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Sender;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

type Channel = Sender<Bytes>;

async fn answer(
    channel: Channel,
    request: Request<Incoming>,
) -> hyper::Result<Response<BoxBody<Bytes, Infallible>>> {
    if request.method() == Method::POST {
        let data = request.into_body().collect().await?.to_bytes();
        let event = [b"data: ", &*data, b"\n\n"].concat();
        // Without readers this is no error.
        let _ = channel.send(event.into());
        return Ok(Response::new(BoxBody::new(Empty::new())));
    }
    let events = BroadcastStream::new(channel.subscribe())
        // Lagging is a gap, which the readers find.
        .filter_map(Result::ok)
        .map(|bytes| Ok(Frame::data(bytes)));
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache")
        .body(BoxBody::new(StreamBody::new(events)))
        .expect("the headers are valid");
    Ok(response)
}

pub(super) fn serve() -> io::Result<()> {
    let channel = Channel::new(super::BACKLOG);
    super::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        super::announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let channel = channel.clone();
            let service = service_fn(move |request| answer(channel.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    })
}
