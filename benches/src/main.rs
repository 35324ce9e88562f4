//! The benches of Bellwether: one question at a time, measured beside its peers in one run.
//!
//! `cargo xtask bench -- --help` shows how to use it. In the order of a run: [`options`] reads the command line, a file
//! of [`questions`] measures the [`field`], [`server`] runs each of the [`peers`] as a process of its own, the [`load`]
//! checks every byte that it sends, [`report`] writes what came out of it. A further question or peer is one more file
//! there and a line in its list.

mod field;
mod load;
mod machine;
mod options;
mod peers;
mod questions;
mod report;
mod server;

use std::process::ExitCode;

use field::Field;
use options::{Command, Options};

/// Why something could not be measured, as a message for people.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match options::read(&arguments) {
        Ok(Command::Help) => {
            print!("{}", options::help());
            Ok(())
        }
        Ok(Command::Serve(peer)) => (peer.serve)().map_err(Into::into),
        Ok(Command::Measure(options)) => measure(&options),
        Err(mistake) => {
            eprintln!("{mistake}\n\n{}", options::help());
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    // A question may need a file descriptor for each of many readers, here and in the server.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let pins = server::Pins::take();
    for question in &options.questions {
        eprintln!("{}: {}", question.name, question.asks);
        let field = Field::gather(question, options, pins);
        let load = machine::load();
        let answer = (question.measure)(&field)?;
        let report = report::markdown(question, &answer, &field, &load);
        println!("{report}");
        if let Some(folder) = &options.out {
            report::write(folder, question, &report, &answer)?;
        }
    }
    Ok(())
}
