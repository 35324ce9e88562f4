//! What the compiler says of wrong handlers, held to the texts in `tests/ui`.
//!
//! `TRYBUILD=overwrite cargo test -p bellwether --test it ui` writes the texts again.

use std::process::Command;

/// The compiler whose words the expected texts are; another one words the same mistakes differently.
const WORDED_BY: &str = "1.95";

#[test]
fn mistakes_are_named_where_they_are_made() {
    let version = compiler_version();
    let minor = version.split('.').take(2).collect::<Vec<_>>().join(".");
    if minor == WORDED_BY {
        trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
    } else {
        #[expect(
            clippy::print_stdout,
            reason = "the reason is for the reader of the test's output"
        )]
        {
            println!("SKIPPED: messages are compared for rustc {WORDED_BY}, this one is {version}");
        }
    }
}

/// Such as `1.95.0`, or what stands in its position.
fn compiler_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split(' ').nth(1).unwrap_or(&line).to_owned()
}
