//! A layer around all routes: completes the pending events of plain axum handlers, which
//! return a [`ServerEventsResponse`](super::ServerEventsResponse).
//!
//! Written by hand and not as axum's `from_fn`, which boxes a future for every request: here only an answer that has
//! to be completed costs a box.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::event_request::EventRequest;
use super::response::{Pending, PendingEvents};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingEventsLayer;

impl<S> Layer<S> for PendingEventsLayer {
    type Service = PendingEventsService<S>;

    fn layer(&self, inner: S) -> PendingEventsService<S> {
        PendingEventsService { inner }
    }
}

/// A service whose pending events are completed.
#[derive(Debug, Clone)]
pub(crate) struct PendingEventsService<S> {
    inner: S,
}

impl<S> Service<Request> for PendingEventsService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = PendingEventsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let event_request = EventRequest::watch(&mut request);
        PendingEventsFuture {
            answer: self.inner.call(request),
            event_request: Some(event_request),
            completing: None,
        }
    }
}

pin_project! {
    /// The future of [`PendingEventsService`].
    pub(crate) struct PendingEventsFuture<F> {
        #[pin]
        answer: F,
        event_request: Option<EventRequest>,
        completing: Option<Pin<Box<dyn Future<Output = Response> + Send>>>,
    }
}

impl<F> Future for PendingEventsFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.completing.is_none() {
            let Ok(mut response) = ready!(this.answer.poll(cx));
            let slot = response.extensions_mut().remove::<PendingEvents>();
            let (Some(slot), Some(event_request)) = (slot, this.event_request.take()) else {
                return Poll::Ready(Ok(response));
            };
            *this.completing = Some(Box::pin(complete(event_request, slot, response)));
        }
        match this.completing {
            Some(completing) => completing.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

/// Layers may have wrapped the response's body by now, so the body stays where it is.
async fn complete(
    event_request: EventRequest,
    slot: PendingEvents,
    response: Response,
) -> Response {
    let Some(Pending::EventProducer(producer, overrides)) = slot.take() else {
        return response;
    };
    if let Some(answer) = event_request.refusal(&overrides) {
        return answer;
    }
    let options = event_request.options(overrides);
    match event_request.body(producer, options).await {
        Ok(body) => {
            slot.put(Pending::Body(body));
            response
        }
        Err(answer) => answer,
    }
}
