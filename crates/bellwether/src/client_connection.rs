//! Whether the client of a request is still connected, for handlers that leave the request's body to another extractor.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use http::Extensions;
use http::request::Parts;
use pin_project_lite::pin_project;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::lifecycle::{DisconnectWatcher, WeakDisconnectSignal};

/// Tells whether the client of a request is still connected.
///
/// It is the part of a [`Request`](crate::Request) that does not take the body, so an extractor that does, such as
/// `Json`, can stand behind it. Extracting it never fails.
///
/// A generator that holds it, or a clone of it, is not dropped at once when the client leaves, just as if it held the
/// request: for a bounded moment (5 s by default) it runs on, its items thrown away, so that its clean-up code runs.
///
/// ```
/// use std::time::Duration;
/// use bellwether::{ClientConnection, Json, ServerSentEvent, Stream, post, stream};
///
/// #[derive(serde::Deserialize)]
/// struct Prompt {
///     text: String,
/// }
///
/// #[post("/answer")]
/// fn answer(client: ClientConnection, Json(prompt): Json<Prompt>) -> impl Stream<Item = ServerSentEvent> {
///     stream!(
///         for word in prompt.text.split(' ') {
///             if client.is_disconnected() {
///                 println!("clean up here");
///                 break;
///             }
///             yield ServerSentEvent::text(word);
///         }
///     )
/// }
///
/// bellwether::Application::new().route(answer).into_router()?;
/// # Ok::<(), bellwether::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientConnection {
    watcher: DisconnectWatcher,
}

impl ClientConnection {
    /// The client of the request that these extensions belong to.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let signal = extensions
            .get::<WeakDisconnectSignal>()
            .and_then(WeakDisconnectSignal::upgrade);
        // Without a link the signal never fires.
        let signal = signal.unwrap_or_default();
        Self {
            watcher: DisconnectWatcher::new(signal),
        }
    }

    /// Whether the client has disconnected. The call is cheap.
    ///
    /// It is known to the same handlers as in [`Request`](crate::Request); for any other it is always false.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.watcher.is_disconnected()
    }

    /// Resolves when the client has disconnected: the awaitable form of
    /// [`is_disconnected`](Self::is_disconnected). The future holds neither this value nor the request.
    pub fn disconnected(&self) -> Disconnected {
        Disconnected {
            left: self.watcher.disconnected(),
            link: self.watcher.link(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ClientConnection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

pin_project! {
    /// The future of [`Request::disconnected`](crate::Request::disconnected) and [`ClientConnection::disconnected`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Disconnected {
        #[pin]
        left: WaitForCancellationFutureOwned,
        // Without it, a response whose request is dropped assumes that there is no watcher, and sends no signal.
        link: WeakDisconnectSignal,
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().left.poll(cx)
    }
}
