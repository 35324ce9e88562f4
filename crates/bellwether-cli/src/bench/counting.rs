//! [`Counting`]: a transport that counts the bytes of bodies on their way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bellwether_client::BoxError;
use bellwether_client::transport::{Body, HyperTransport, ResponseFuture, Transport};
use bytes::Bytes;
use http::Request;
use http_body::Frame;

/// Sends through hyper. All clones count together.
#[derive(Clone, Debug)]
pub(super) struct Counting {
    inner: HyperTransport,
    bytes: Arc<AtomicU64>,
}

impl Counting {
    pub(super) fn new(inner: HyperTransport) -> Self {
        Self {
            inner,
            bytes: Arc::default(),
        }
    }

    /// Bytes of bodies so far, without chunk heads and the like.
    pub(super) fn total(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Transport for Counting {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let sending = self.inner.send(request);
        let bytes = Arc::clone(&self.bytes);
        Box::pin(async move {
            let response = sending.await?;
            Ok(response.map(|inner| Body::new(CountingBody { inner, bytes })))
        })
    }
}

struct CountingBody {
    inner: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for CountingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.bytes.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}
