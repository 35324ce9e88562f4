//! The delivery engine by itself: which streams it takes, that no client can tell, and what it does to its readers.

mod fairness;
mod foreign;
mod readers;
mod same_bytes;
mod taking;
