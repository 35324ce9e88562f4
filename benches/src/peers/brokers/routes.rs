//! The routes of a server on a broker.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Query;
use bellwether::{Application, HttpError, ServerSentEvent, Subscription, Topic, Topics, get, post};
use bellwether_topics::Error;
use bellwether_topics::broker::Broker;
use serde::Deserialize;

use super::daemons::Daemon;
use super::resume::{self, Crowd};
use crate::load::latencies::Latencies;
use crate::load::numbered::payload;
use crate::peers::application;

/// Publishes of `/fill` that wait for the broker at once; fewer than a node allows by default.
const FILL_AT_ONCE: u64 = 1024;

/// The data of an event of `/durable`.
const DURABLE_BYTES: usize = 300;

#[derive(Debug, Deserialize)]
struct Durable {
    publishers: u64,
    events: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fill {
    pub(super) events: u64,
    pub(super) size: usize,
}

pub(super) async fn serve(
    topics: Topics,
    broker: Option<Arc<dyn Broker>>,
    daemon: Option<Arc<Daemon>>,
) -> io::Result<()> {
    let news = topics.topic("news").map_err(io::Error::other)?;
    let (readers, publisher, durable, fill) =
        (news.clone(), news.clone(), news.clone(), news.clone());
    let events = move || -> Result<Subscription, HttpError> { Ok(readers.subscribe().open()?) };
    let publish = async move |data: String| -> Result<(), HttpError> {
        publisher.publish(&ServerSentEvent::text(data))?.await?;
        Ok(())
    };
    let durable = async move |Query(asked): Query<Durable>| -> Result<String, HttpError> {
        Ok(publish_together(&durable, &asked).await?)
    };
    let fill = async move |Query(asked): Query<Fill>| -> Result<(), HttpError> {
        Ok(publish_in_order(&fill, &asked).await?)
    };
    let (first, at) = (topics.clone(), broker.clone());
    let crowd = async move |Query(asked): Query<Crowd>| -> Result<String, HttpError> {
        match &at {
            Some(broker) => Ok(resume::crowd(&first, broker, daemon.as_ref(), &asked).await?),
            // What is in memory alone does not outlive its node.
            None => Ok(String::new()),
        }
    };
    let replay = async move || -> Result<Subscription, HttpError> {
        // A node that has nothing in memory, so that all of it comes from the broker.
        let node = match &broker {
            Some(broker) => Topics::with(broker.clone()).await?,
            None => topics.clone(),
        };
        Ok(node.topic("news")?.subscribe().from_start().open()?)
    };
    let application = Application::new()
        .route(("/events", get(events)))
        .route(("/publish", post(publish)))
        .route(("/durable", get(durable)))
        .route(("/fill", get(fill)))
        .route(("/crowd", get(crowd)))
        .route(("/replay", get(replay)));
    application::serve(application).await
}

/// Publishes from many tasks, each of which waits for its id before it goes on; events per second, and the times from
/// publish to id, in milliseconds.
async fn publish_together(topic: &Topic, asked: &Durable) -> Result<String, Error> {
    let started = Instant::now();
    let publishers: Vec<_> = (0..asked.publishers)
        .map(|_| {
            let (topic, events) = (topic.clone(), asked.events / asked.publishers);
            tokio::spawn(async move {
                let mut latencies = Latencies::new();
                for number in 0..events {
                    let event = ServerSentEvent::text(payload(number, DURABLE_BYTES));
                    let published = Instant::now();
                    topic.publish(&event)?.await?;
                    latencies.add(published.elapsed());
                }
                Ok::<_, Error>(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::new();
    for publisher in publishers {
        if let Ok(of_one) = publisher.await {
            latencies.merge(&of_one?);
        }
    }
    let rate = latencies.count() as f64 / started.elapsed().as_secs_f64();
    let (median, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
    Ok(format!("{rate} {median} {p99}"))
}

/// Publishes numbered events, in order, many at once.
pub(super) async fn publish_in_order(topic: &Topic, asked: &Fill) -> Result<(), Error> {
    let mut next = 0;
    while next < asked.events {
        let last = asked.events.min(next + FILL_AT_ONCE);
        let published = (next..last)
            .map(|number| topic.publish(&ServerSentEvent::text(payload(number, asked.size))))
            .collect::<Result<Vec<_>, _>>()?;
        for id in published {
            id.await?;
        }
        next = last;
    }
    Ok(())
}
