//! Who may connect, and the permit that a connection keeps for as long as its socket is open.
//!
//! `listen` admits; `send` keeps the permit of each stream. So this module is below both.

mod metrics;
mod permits;

pub(crate) use metrics::ConnectionMetrics;
pub(crate) use permits::{Admission, ConnectionLimits, Permit, Permits, Refusal};
