//! `cargo xtask`: set-up, tests, lints and benches of this workspace.
fn main() {}
