//! The pages for readers (the `README.md`s, `docs/guide`), so that their programs compile as doc tests.
//!
//! The pages lie outside of this package, where a visitor of the repository finds them. Only
//! doc tests look for them; a build of the package does not.

#[doc = include_str!("../../../README.md")]
mod readme {}

#[doc = include_str!("../README.md")]
mod readme_of_the_crate {}

#[doc = include_str!("../../bellwether-wire/README.md")]
mod readme_of_wire {}

#[doc = include_str!("../../../docs/guide/streams.md")]
mod streams {}

#[doc = include_str!("../../../docs/guide/leaving-and-stopping.md")]
mod leaving_and_stopping {}

#[doc = include_str!("../../../docs/guide/topics.md")]
mod topics {}

#[doc = include_str!("../../../docs/guide/inside-axum.md")]
mod inside_axum {}

// Its programs use the feature.
#[cfg(feature = "tls")]
#[doc = include_str!("../../../docs/guide/serving.md")]
mod serving {}
