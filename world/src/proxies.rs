//! Proxies between a client and the server: whether events come at once, whole and again after a cut.

use crate::options::Options;

/// Tries the proxies; `true` if all is well.
pub(crate) async fn run(_options: &Options) -> bool {
    println!("proxies: none are tried here");
    true
}
