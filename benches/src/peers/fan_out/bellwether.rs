//! Bellwether as a peer: a topic whose subscriptions are answers.

use std::io;

use bellwether::{
    Application, HttpError, ServerSentEvent, StreamDefaults, Subscription, Topics, get, post,
};

use crate::peers::application;

pub(super) fn serve() -> io::Result<()> {
    run(StreamDefaults::new())
}

pub(super) fn serve_body() -> io::Result<()> {
    run(StreamDefaults::new().no_engine())
}

fn run(streams: StreamDefaults) -> io::Result<()> {
    let topics = Topics::new();
    let news = topics.topic("news").map_err(io::Error::other)?;
    let readers = news.clone();
    let events = move || -> Result<Subscription, HttpError> { Ok(readers.subscribe().open()?) };
    let publish = async move |data: String| -> Result<(), HttpError> {
        news.publish(&ServerSentEvent::text(data))?;
        Ok(())
    };
    let application = Application::new()
        .streams(streams)
        .route(("/events", get(events)))
        .route(("/publish", post(publish)));
    super::runtime()?.block_on(application::serve(application))
}
