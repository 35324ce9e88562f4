//! stub
mod limits; pub use limits::{Drain, Limits, Timeouts};
