//! [`ReqwestTransport`]: requests by a `reqwest::Client`, with its proxies, cookies and TLS.

use std::fmt;

use bytes::Bytes;
use http::Request;

use super::{Body, ResponseFuture, Transport, TransportError};

/// A transport over reqwest, with its proxies, cookies and TLS.
///
/// It takes a builder instead of a client, because redirects have to be off in it: the source follows them
/// itself and keeps credentials from other origins. Leave decompression and time limits off too.
///
/// With HTTP/2, a body that the server resets with `NO_ERROR` or `CANCEL` ends as if it were whole;
/// [`HyperTransport`](super::HyperTransport) treats it as cut.
pub struct ReqwestTransport(reqwest::Client);

impl ReqwestTransport {
    /// Builds the client, without redirects.
    ///
    /// # Errors
    ///
    /// What [`reqwest::ClientBuilder::build`] says.
    pub fn new(client: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        let client = client.redirect(reqwest::redirect::Policy::none());
        Ok(Self(client.build()?))
    }
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReqwestTransport").field(&self.0).finish()
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let client = self.0.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(TransportError::permanent)?;
            let sent = client.execute(request).await;
            let response = sent.map_err(|error| match error.is_builder() {
                true => TransportError::permanent(error),
                false => TransportError::new(error),
            })?;
            Ok(http::Response::from(response).map(Body::new))
        })
    }
}
