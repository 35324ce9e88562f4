//! The `bellwether` command: reads, writes, follows, sends, measures and serves event streams, and checks the
//! file of a log.
//!
//! One file per command. Each runs its arguments and returns the exit code. Its decisions are plain
//! functions without I/O. Data goes to standard output, all else to standard error.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
#[cfg(feature = "sqlite")]
mod check;
mod decode;
mod encode;
mod listen;
mod send;
mod serve;

mod clock;
mod compact;
mod exit;
mod input;
mod line;
mod lines;
mod message;
mod show;
mod target;
mod trust;

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Server-sent events on the command line: read, write, follow, send, measure, serve, check a log.
#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ended as asked, 1 refused or failed, 2 wrong usage, 3 no connection, 130 Ctrl-C."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(decode::DecodeArguments),
    Encode(encode::EncodeArguments),
    Listen(listen::ListenArguments),
    Send(send::SendArguments),
    Bench(bench::BenchArguments),
    Serve(serve::ServeArguments),
    #[cfg(feature = "sqlite")]
    Check(check::CheckArguments),
    #[cfg(feature = "sqlite")]
    Repair(check::RepairArguments),
}

fn main() -> ExitCode {
    let mut command = without_empty_variables(Cli::command());
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches);
    let result = match cli
        .unwrap_or_else(|error| error.format(&mut command).exit())
        .command
    {
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Encode(arguments) => encode::run(&arguments),
        Command::Listen(arguments) => listen::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        #[cfg(feature = "sqlite")]
        Command::Check(arguments) => check::check(&arguments),
        #[cfg(feature = "sqlite")]
        Command::Repair(arguments) => check::repair(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

/// An empty variable of the environment is as good as none, for every option: a script that exports one has no value
/// for it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |argument: &clap::Arg| {
        let value = argument.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(move |argument| match is_empty(&argument) {
            true => argument.env(Resettable::Reset),
            false => argument,
        })
        .mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let name = command.get_name();
            assert!(
                help.unwrap_or_default().contains("Examples:\n  "),
                "{name} has none"
            );
        }
    }
}
