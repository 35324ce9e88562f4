//! The exported metrics of the accept loop; the handles are looked up once per server.

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};

use super::permits::Refusal;

/// Handles of the connection metrics.
#[derive(Clone)]
pub(crate) struct ConnectionMetrics(Arc<MetricHandles>);

struct MetricHandles {
    open: Gauge,
    accepted: Counter,
    refused_full: Counter,
    refused_address: Counter,
}

impl ConnectionMetrics {
    pub(crate) fn new() -> Self {
        let refused = |why: Refusal| counter!("bellwether_connections_refused_total", "reason" => why.as_str());
        Self(Arc::new(MetricHandles {
            open: gauge!("bellwether_connections_open"),
            accepted: counter!("bellwether_connections_accepted_total"),
            refused_full: refused(Refusal::Full),
            refused_address: refused(Refusal::Address),
        }))
    }

    pub(super) fn accepted(&self) {
        self.0.accepted.increment(1);
        self.0.open.increment(1.0);
    }

    pub(super) fn closed(&self) {
        self.0.open.decrement(1.0);
    }

    pub(super) fn refused(&self, why: Refusal) {
        match why {
            Refusal::Full => self.0.refused_full.increment(1),
            Refusal::Address => self.0.refused_address.increment(1),
        }
    }
}

impl fmt::Debug for ConnectionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}
