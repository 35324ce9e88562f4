//! The rules of an event stream, apart from everything that moves bytes.
//!
//! [`machine`] decides what is sent when and how a stream ends. [`options`] holds the settings that it follows,
//! [`opening`] writes what a stream sends before its first event, [`closing`] the time after which a client
//! reconnects, and [`failure`] what a failed producer leaves. Nothing here performs I/O or reads a clock, so tests
//! play a stream from its first byte to its end without a runtime.

pub(crate) mod closing;
pub(crate) mod failure;
pub(crate) mod machine;
pub(crate) mod opening;
pub(crate) mod options;

pub(crate) use closing::{FINISHED, SubscriptionEnd, write_retry};
pub(crate) use failure::{ErrorChain, StreamError, panic_error};
pub(crate) use machine::{Machine, ProducerOutcome, StreamEnd};
pub(crate) use opening::{first_retry, write_opening};
pub(crate) use options::StreamOptions;
pub use options::{OnStop, StreamDefaults};

pub(crate) use crate::lifecycle::{CloseReason, DrainPlan};
