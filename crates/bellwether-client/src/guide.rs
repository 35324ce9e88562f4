//! The pages for readers (`README.md`, `docs/guide/client.md`), so that their programs compile as doc tests.

#[doc = include_str!("../README.md")]
mod readme {}

#[doc = include_str!("../../../docs/guide/client.md")]
mod client {}
