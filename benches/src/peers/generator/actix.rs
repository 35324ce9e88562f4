//! actix-web with the `Sse` of actix-web-lab as a peer.

use std::future::pending;
use std::io;

use actix_web::web::{self, Query};
use actix_web::{App, HttpServer, Responder};
use actix_web_lab::sse::{Data, Event, Sse};
use async_stream::stream;

use super::{Asked, KEEP_ALIVE, Message};

async fn generator(asked: Query<Asked>) -> impl Responder {
    let events = stream! {
        for i in 0..asked.events {
            yield event(i);
        }
    };
    Sse::from_infallible_stream(events).with_keep_alive(KEEP_ALIVE)
}

async fn idle() -> impl Responder {
    let events = stream! {
        yield event(0);
        pending::<()>().await;
    };
    Sse::from_infallible_stream(events).with_keep_alive(KEEP_ALIVE)
}

fn event(i: u64) -> Event {
    Data::new_json(Message::new(i))
        .expect("a message is JSON")
        .into()
}

pub(super) fn serve() -> io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let app = || {
            App::new()
                .route("/generator", web::get().to(generator))
                .route("/idle", web::get().to(idle))
        };
        let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0")?;
        let address = server
            .addrs()
            .first()
            .copied()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        super::announce(address)?;
        server.run().await
    })
}
