//! [`NatsBroker`]: a log in a stream, behind the broker contract.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use tokio::time::timeout;

use crate::api::ApiError;
use crate::builder::NatsBuilder;
use crate::error::ConnectError;
use crate::shared::Shared;
use crate::tail::NatsTail;

/// A log in a JetStream stream. A clone is another handle to it.
///
/// Records stay when this program ends, and every program that opens the same stream shares them. The crate's README
/// has what the broker promises, and which settings of the server that needs.
///
/// ```no_run
/// use bellwether_nats::NatsBroker;
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = NatsBroker::connect("nats://127.0.0.1:4222").await?;
/// let topics = Topics::with(broker).await?;
/// let id = topics.topic("news")?.publish(&ServerSentEvent::text("hello"))?.await?;
/// assert!(id.offset.low() > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct NatsBroker {
    shared: Arc<Shared>,
    /// The address without user and password.
    address: String,
}

impl NatsBroker {
    /// Connects with default settings to the stream `bellwether`, and creates it if it does not exist.
    ///
    /// The address is `nats://host:port` or `tls://host:port`, or several of one cluster with commas between. The
    /// default port is 4222. The address may contain user and password, or a token; no message and no `Debug` shows
    /// them.
    ///
    /// # Errors
    ///
    /// As [`NatsBuilder::connect`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use bellwether_nats::NatsBroker;
    ///
    /// // No server listens on this port.
    /// let error = NatsBroker::connect("nats://127.0.0.1:1").await.unwrap_err();
    /// assert!(error.is_unreachable());
    /// # });
    /// ```
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        Self::builder(address).connect().await
    }

    /// The settings of a log at this address, all at their defaults.
    ///
    /// Nothing is checked before [`NatsBuilder::connect`], the address included.
    pub fn builder(address: &str) -> NatsBuilder {
        NatsBuilder::new(address)
    }

    pub(crate) fn new(shared: Shared, address: String) -> Self {
        Self {
            shared: Arc::new(shared),
            address,
        }
    }

    /// The name of the stream that holds the log.
    pub fn stream(&self) -> &str {
        self.shared.stream()
    }

    /// Runs a call within its time, and ends it when the log is shut down.
    fn call<'a, T: Send + 'a>(
        &'a self,
        limit: Duration,
        call: impl Future<Output = Result<T, BrokerError>> + Send + 'a,
    ) -> BrokerFuture<'a, T> {
        Box::pin(async move {
            if self.shared.link.is_shut_down() {
                return Err(ApiError::ShutDown.into());
            }
            timeout(limit, call)
                .await
                .unwrap_or_else(|_| Err(ApiError::TimedOut.into()))
        })
    }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBroker")
            .field("address", &self.address)
            .field("stream", &self.shared.stream())
            .finish_non_exhaustive()
    }
}

impl Broker for NatsBroker {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        // The append ends within the timeout. The rest is for a read of the stream's state after the last response; if
        // that is cut, the error says less.
        let limit = self.shared.timeout + self.shared.timeout / 5;
        self.call(limit, self.shared.append(records))
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        self.call(self.shared.timeout, self.shared.read(request))
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        self.call(self.shared.timeout, async {
            Ok(Some(self.shared.newest(topics).await?))
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        self.call(self.shared.timeout, async move {
            let tail: Box<dyn Tail> = Box::new(NatsTail::open(&self.shared, from).await?);
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        self.call(self.shared.timeout, async {
            Ok(self.shared.fetch_state().await?.bounds)
        })
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        Box::pin(async {
            self.shared.idle.clear();
            self.shared.link.shut_down().await;
            Ok(())
        })
    }
}
