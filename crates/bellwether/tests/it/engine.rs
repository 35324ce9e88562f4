//! The delivery engine: which streams it takes, that clients see no difference, and what it does to its readers.

mod fairness;
mod foreign;
mod readers;
mod same_bytes;
mod taking;
