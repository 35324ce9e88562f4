//! The kinds of handlers, one marker and one impl of [`Handler`] each.
//!
//! Which impls can hold at once for the same function decides whether rustc can infer the kind: an
//! `async fn` is neither a stream nor a response, a stream is not a response, and a `Result` of a
//! stream is none of them. A type that is both a response and a future would be two kinds at once.

use std::{
    convert::Infallible,
    future::Ready,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_core::Stream;

use super::{Handler, ResponseFuture, function::Function};
use bellwether_wire::ServerSentEvent;

use crate::events::{EventRequest, IntoEvent};

/// Seals [`Handler::handle`]: other crates cannot name this type, so they cannot implement the trait.
#[derive(Debug)]
pub struct Sealed(pub(crate) ());

/// What axum accepts as a handler; `T` is axum's own marker.
#[derive(Debug)]
pub struct Plain<T>(PhantomData<T>);

/// A sync function that returns a response; `A` are its arguments, here and below.
#[derive(Debug)]
pub struct Answer<A>(PhantomData<A>);

/// A sync function that returns a stream.
#[derive(Debug)]
pub struct Events<A>(PhantomData<A>);

/// A sync function that returns a stream or an error.
#[derive(Debug)]
pub struct TryEvents<A>(PhantomData<A>);

/// An async function that returns a stream.
#[derive(Debug)]
pub struct AsyncEvents<A>(PhantomData<A>);

/// An async function that returns a stream or an error.
#[derive(Debug)]
pub struct AsyncTryEvents<A>(PhantomData<A>);

/// The stand-in for the stream of a handler without one.
#[derive(Debug)]
pub struct NoStream;

impl Stream for NoStream {
    type Item = ServerSentEvent;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// The stand-in for the future of a sync function.
type NoFuture = Ready<()>;

#[diagnostic::do_not_recommend]
impl<H, T, S> Handler<Plain<T>, S> for H
where
    H: axum::handler::Handler<T, S>,
{
    const STREAMS: bool = false;
    type Stream = NoStream;
    type Future = NoFuture;
    type Error = Infallible;

    fn handle(self, mut request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        S: Send + Sync + 'static,
    {
        let event_request = EventRequest::watch(&mut request);
        // Called here and not inside the block: axum's future is boxed already, so the block holds a
        // pointer and the event request, and neither the request nor the state.
        let response = self.call(request, state);
        Box::pin(async move { event_request.finish(response.await).await })
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, R, S> Handler<Answer<A>, S> for F
where
    F: Function<A, S, Output = R>,
    R: IntoResponse,
{
    const STREAMS: bool = false;
    type Stream = NoStream;
    type Future = NoFuture;
    type Error = Infallible;

    fn handle(self, mut request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        S: Send + Sync + 'static,
    {
        Box::pin(async move {
            let event_request = EventRequest::watch(&mut request);
            let response = match self.extract_and_call(request, state).await {
                Ok(answer) => answer.into_response(),
                Err(rejection) => *rejection,
            };
            event_request.finish(response).await
        })
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, R, S> Handler<Events<A>, S> for F
where
    F: Function<A, S, Output = R>,
    R: Stream,
{
    const STREAMS: bool = true;
    type Stream = R;
    type Future = NoFuture;
    type Error = Infallible;

    fn handle(self, request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        Self::Stream: Stream<Item: IntoEvent> + Send + 'static,
        S: Send + Sync + 'static,
    {
        Box::pin(stream_events(request, |request| async move {
            self.extract_and_call(request, state).await
        }))
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, R, E, S> Handler<TryEvents<A>, S> for F
where
    F: Function<A, S, Output = Result<R, E>>,
    R: Stream,
{
    const STREAMS: bool = true;
    type Stream = R;
    type Future = NoFuture;
    type Error = E;

    fn handle(self, request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        Self::Stream: Stream<Item: IntoEvent> + Send + 'static,
        Self::Error: IntoResponse,
        S: Send + Sync + 'static,
    {
        Box::pin(stream_events(request, |request| async move {
            let result = self.extract_and_call(request, state).await?;
            result.map_err(|error| Box::new(error.into_response()))
        }))
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, Fut, R, S> Handler<AsyncEvents<A>, S> for F
where
    F: Function<A, S, Output = Fut>,
    Fut: Future<Output = R>,
    R: Stream,
{
    const STREAMS: bool = true;
    type Stream = R;
    type Future = Fut;
    type Error = Infallible;

    fn handle(self, request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        Self::Stream: Stream<Item: IntoEvent> + Send + 'static,
        Self::Future: Send + 'static,
        S: Send + Sync + 'static,
    {
        Box::pin(stream_events(request, |request| async move {
            Ok(self.extract_and_call(request, state).await?.await)
        }))
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, Fut, R, E, S> Handler<AsyncTryEvents<A>, S> for F
where
    F: Function<A, S, Output = Fut>,
    Fut: Future<Output = Result<R, E>>,
    R: Stream,
{
    const STREAMS: bool = true;
    type Stream = R;
    type Future = Fut;
    type Error = E;

    fn handle(self, request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        Self::Stream: Stream<Item: IntoEvent> + Send + 'static,
        Self::Future: Send + 'static,
        Self::Error: IntoResponse,
        S: Send + Sync + 'static,
    {
        Box::pin(stream_events(request, |request| async move {
            let result = self.extract_and_call(request, state).await?.await;
            result.map_err(|error| Box::new(error.into_response()))
        }))
    }
}

/// Asks whether this client can have events, and only then runs extractors and function by `call`.
async fn stream_events<Fut, R>(mut request: Request, call: impl FnOnce(Request) -> Fut) -> Response
where
    Fut: Future<Output = Result<R, Box<Response>>>,
    R: Stream<Item: IntoEvent> + Send + 'static,
{
    let event_request = match EventRequest::open(&mut request) {
        Ok(event_request) => event_request,
        Err(response) => return response,
    };
    match call(request).await {
        Ok(stream) => event_request.events(stream).await,
        Err(response) => event_request.finish(*response).await,
    }
}
