//! The log's wake-ups in every interleaving of a few threads.

#![allow(clippy::unwrap_used)]
