//! Bellwether as a peer: a topic whose subscriptions are answers.

use std::io;

use bellwether::{
    Application, HttpError, ServerSentEvent, StreamDefaults, Subscription, Topics, get, post,
};

use crate::peers::application;

pub(in crate::peers) fn serve() -> io::Result<()> {
    run(application()?)
}

pub(super) fn serve_body() -> io::Result<()> {
    run(application()?.streams(StreamDefaults::new().no_engine()))
}

/// Serves an application as it is.
pub(in crate::peers) fn run(application: Application) -> io::Result<()> {
    super::runtime()?.block_on(application::serve(application))
}

/// The routes of this peer, with every setting the default.
pub(in crate::peers) fn application() -> io::Result<Application> {
    let topics = Topics::new();
    let news = topics.topic("news").map_err(io::Error::other)?;
    let readers = news.clone();
    let events = move || -> Result<Subscription, HttpError> { Ok(readers.subscribe().open()?) };
    let publish = async move |data: String| -> Result<(), HttpError> {
        drop(news.publish(&ServerSentEvent::text(data))?);
        Ok(())
    };
    Ok(Application::new()
        .route(("/events", get(events)))
        .route(("/publish", post(publish))))
}
