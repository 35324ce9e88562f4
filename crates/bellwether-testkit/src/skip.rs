//! What a test does when a tool of the machine is missing: fail under `cargo xtask test`, else skip.

use std::fmt::Display;

/// The environment variable that turns a missing tool into a failure; `cargo xtask test` sets it to `1`.
pub const REQUIRE_TOOLS: &str = "BELLWETHER_REQUIRE_TOOLS";

/// The tool, or `None` after printing `SKIPPED: reason`, so that the test can return.
///
/// ```
/// use bellwether_testkit::or_skip;
///
/// assert_eq!(or_skip(Ok::<_, &str>("a browser")), Some("a browser"));
/// ```
///
/// # Panics
///
/// When the tool is missing and [`REQUIRE_TOOLS`] is set: there the tools are part of the test.
#[expect(
    clippy::print_stdout,
    reason = "the reason is for the person who reads the test's output"
)]
pub fn or_skip<T, E: Display>(tool: Result<T, E>) -> Option<T> {
    match tool {
        Ok(tool) => Some(tool),
        Err(reason) => {
            assert!(
                std::env::var_os(REQUIRE_TOOLS).is_none(),
                "{REQUIRE_TOOLS} is set and a tool is missing: {reason}"
            );
            println!("SKIPPED: {reason}");
            None
        }
    }
}
