//! [`SqliteTail`]: follows the log as the writer publishes it, mostly from memory.

use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::broker::{BrokerError, BrokerFuture, Page, Tail};
use tokio::sync::watch;

use crate::pool::Pool;
use crate::read::Wanted;
use crate::state::{LogState, Shared, shut_down};

/// The time of silence after which an empty page shows that the log is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct SqliteTail {
    state: watch::Receiver<LogState>,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// The last record that was handed out, or the position to start at.
    from: u64,
    /// Until the record at `from` itself has been handed out.
    is_first: bool,
    timeout: Duration,
}

impl SqliteTail {
    pub(crate) fn new(
        state: watch::Receiver<LogState>,
        shared: Arc<Shared>,
        pool: Arc<Pool>,
        from: u64,
        timeout: Duration,
    ) -> Self {
        Self {
            state,
            shared,
            pool,
            from,
            is_first: true,
            timeout,
        }
    }

    /// The page from memory or from the file; nothing of the tail changes before it is there.
    async fn page(&self) -> Result<Page, BrokerError> {
        let with_anchor = self.is_first && self.from > 0;
        if let Some(page) = self.shared.recent_page(self.from, with_anchor) {
            return Ok(page);
        }
        let wanted = Wanted {
            from: self.from,
            topics: None,
            max_records: MAX_RECORDS,
            max_bytes: MAX_BYTES,
        };
        let mut page = self.pool.read(wanted, self.timeout).await?;
        if !self.is_first {
            let anchor = page.records.first().map(|record| record.offset.low());
            if self.from > 0 && anchor != Some(self.from) {
                return Err(BrokerError::unavailable(
                    "records were removed before the tail had them",
                ));
            }
            page.records
                .retain(|record| record.offset.low() > self.from);
        }
        Ok(page)
    }
}

impl Tail for SqliteTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(async move {
            let silent_at = tokio::time::Instant::now() + HEARTBEAT;
            loop {
                // Marked as seen before the read, so that no commit is missed in between.
                let state = self.state.borrow_and_update().clone();
                state.check()?;
                if state.head < self.from {
                    return Err(BrokerError::unavailable("the log lost its end"));
                }
                if state.head > self.from || (self.is_first && self.from > 0) {
                    let page = self.page().await?;
                    if let Some(last) = page.records.last() {
                        self.from = last.offset.low();
                        self.is_first = false;
                        return Ok(page);
                    }
                    // The record to start at is gone. An empty page shows that by its bounds.
                    if self.is_first {
                        self.is_first = false;
                        return Ok(page);
                    }
                }
                match tokio::time::timeout_at(silent_at, self.state.changed()).await {
                    Ok(changed) => changed.map_err(|_| shut_down())?,
                    Err(_) => return Ok(self.state.borrow().page(Vec::new())),
                }
            }
        })
    }
}
