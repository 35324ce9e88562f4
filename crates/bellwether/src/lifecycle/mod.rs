//! How servers, connections and streams live and end: stopping, leaving, and the accounts of both.
//!
//! A [`Lifecycle`] belongs to one server, or to the process where another server runs. It says
//! whether a stop has begun, keeps the count of open streams, and tracks the tasks that a stop
//! has to wait for. A [`DisconnectSignal`] belongs to one request and says whether its client has left.

mod disconnect;
mod scope;
mod signals;
mod stopping;
mod streams;

pub(crate) use disconnect::{DisconnectSignal, DisconnectWatcher, WeakDisconnectSignal};
pub(crate) use scope::{Scoped, take_stop_checked};
pub use signals::shutdown_signal;
pub(crate) use signals::{first_signal, watch_signals};
pub(crate) use stopping::{DrainPlan, Lifecycle, after};
pub use stopping::{Stopping, is_stopping, stopping};
pub use streams::{CloseReason, StreamCounts};
pub(crate) use streams::{StreamGuard, StreamPath, Streams};
