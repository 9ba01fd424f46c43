//! The program: arguments, exit codes and what is printed.
//!
//! Everything that it does is in the library, see [`crate::Model`], [`crate::Trainer`] and
//! [`crate::Run`]. Exit codes: 0 done, 1 a mistake in a model or in data, 2 a mistake in the
//! arguments, 3 a file that cannot be read or written, 4 a device, 5 training that diverged, 130
//! interrupted twice. Results go to standard output; notes, warnings and errors to standard error.

mod terminal;
mod arguments;
mod device;
mod inspect;
mod compile;
mod numbers;
mod train;
mod runs;
mod bench;
mod doctor;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A compiler for deep generative models: two graphs in, a trained model out.
#[derive(Parser)]
#[command(name = "dgc", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(inspect::Check),
    Fmt(inspect::Fmt),
    Explain(inspect::Explain),
    Graph(inspect::Graph),
    Compile(compile::Compile),
    List(inspect::List),
    Train(train::Train),
    Eval(runs::Eval),
    Predict(runs::Predict),
    Encode(runs::Encode),
    Sample(runs::Sample),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Bound(numbers::Bound),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(command) => command.run(),
        Command::Fmt(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Encode(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Bound(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::show_error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
