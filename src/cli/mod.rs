//! The program `dgc`: its arguments, output and exit codes.
//!
//! The library does the work; see [`crate::Model`], [`crate::Trainer`] and [`crate::Run`]. The exit
//! code follows [`crate::ErrorKind::exit_code`], and `dgc --help` lists the codes. Results go to
//! standard output; notes, warnings and errors go to standard error.

mod interrupt;
mod terminal;
mod arguments;
mod device;
mod inspect;
mod new;
mod compile;
mod numbers;
mod progress;
mod train;
mod runs;
mod overview;
mod bench;
mod doctor;
mod shell;

use crate::{ErrorKind, Result};
use clap::{CommandFactory, Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

/// Compile, train and use deep generative models.
///
/// A .dgm file describes how data are generated and how latent variables are inferred. dgc checks
/// both graphs, derives the variational bound and its gradient, and compiles them into fused
/// kernels for the CPU or an NVIDIA GPU.
///
/// A model file named `-` is standard input, and a file to write named `-` is standard output.
#[derive(Parser)]
#[command(name = "dgc", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
    0  success
    1  a mistake in a model or in data, or an operation that this build or model does not support
    2  a mistake in the arguments
    3  a file that cannot be read or written
    4  a device or one of its libraries is missing, failed, or lacks memory
    5  training diverged
  130  interrupted with Ctrl-C

Example:
  dgc train models/adgm.dgm --labels 100 --epochs 10 --set hidden=128
  dgc eval runs/adgm

`dgc COMMAND --help` describes the options of a command and shows an example.";

#[derive(Subcommand)]
enum Command {
    Check(inspect::Check),
    Fmt(inspect::Fmt),
    Explain(inspect::Explain),
    Graph(inspect::Graph),
    Compile(compile::Compile),
    List(inspect::List),
    New(new::New),
    Train(train::Train),
    Eval(runs::Eval),
    Predict(runs::Predict),
    Encode(runs::Encode),
    Score(runs::Score),
    Reconstruct(runs::Reconstruct),
    Impute(runs::Impute),
    Calibrate(runs::Calibrate),
    Sample(runs::Sample),
    Runs(overview::Runs),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Bound(numbers::Bound),
    Completions(shell::Completions),
    Man(shell::Manual),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::from(main_with(std::env::args_os()))
}

/// Runs the program with these arguments, the first of which is the program's name. Returns its exit
/// code. From then on, Ctrl-C ends the process, or training in it.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    interrupt::install();
    let done = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => run(arguments.command),
        // Help and versions are results, so a failure to print them is one of the program.
        Err(shown) if !shown.use_stderr() => terminal::printed(shown.print()),
        Err(mistake) => {
            // If standard error cannot be written, there is no other place to say so.
            let _ = mistake.print();
            return ErrorKind::Usage.exit_code();
        }
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            terminal::show_error(&error);
            error.kind().exit_code()
        }
    }
}

/// The program's arguments, as the parser knows them.
pub fn arguments() -> clap::Command {
    Arguments::command()
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(command) => command.run(),
        Command::Fmt(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::List(command) => command.run(),
        Command::New(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Encode(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Reconstruct(command) => command.run(),
        Command::Impute(command) => command.run(),
        Command::Calibrate(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Bound(command) => command.run(),
        Command::Completions(command) => command.run(arguments()),
        Command::Man(command) => command.run(arguments()),
    }
}
