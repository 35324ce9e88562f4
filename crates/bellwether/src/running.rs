//! Running an application. Placeholder.
/// x
#[derive(Debug)] pub struct Running;
