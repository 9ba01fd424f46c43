//! The program: arguments, exit codes and what is printed.
//!
//! Exit codes: 0 done, 1 a mistake in a model or in data, 2 a mistake in the arguments.

mod bench;
mod compile;
mod device;
mod doctor;
mod inspect;
mod numbers;
mod picture;
mod report;
mod runs;
mod train;

pub use compile::{Stage, emit};

use crate::{
    diagnostic, driver,
    error::{Error, Result},
    model::Model,
    run::compiled::{self, Compiled},
    syntax,
};
use clap::{Parser, Subcommand};
use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

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

/// A model file and what is changed in it.
#[derive(clap::Args)]
struct ModelFile {
    /// The model file, such as models/adgm.dgm
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
}

/// What is changed in a model.
#[derive(clap::Args)]
struct Changes {
    /// Change a size or setting, such as hidden=200, samples=5 or epochs=20; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = set)]
    sets: Vec<(String, String)>,
}

impl Changes {
    /// A compiled model, in which nothing but how long it is trained may be changed.
    fn compiled(&self, folder: &Path) -> Result<Compiled> {
        let mut compiled = compiled::read(folder)?;
        if let Some((name, _)) = self.sets.iter().find(|(name, _)| name != "epochs") {
            let message = format!(
                "--set {name}=…: {} was compiled with its settings",
                folder.display()
            );
            return Err(Error::new(message)
                .help("compile it again with them; only `epochs` may be changed"));
        }
        compiled.sets.extend(self.sets.iter().cloned());
        compiled.model = check_text(
            Path::new(&compiled.file),
            &compiled.model.source,
            &compiled.sets,
        )?;
        Ok(compiled)
    }
}

fn set(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, found `{text}`"))?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

/// A count of which none would be of no use.
fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    let count = text
        .parse::<usize>()
        .map_err(|_| format!("expected a whole number, found `{text}`"))?;
    if count == 0 {
        Err("expected at least 1".to_string())
    } else {
        Ok(count)
    }
}

impl ModelFile {
    fn text(&self) -> Result<String> {
        read_text(&self.file)
    }

    /// The checked model; its lints are printed, its mistakes are the error.
    fn check(&self) -> Result<Model> {
        let text = self.text()?;
        check_text(&self.file, &text, &self.changes.sets)
    }
}

fn read_text(file: &Path) -> Result<String> {
    let bytes = fs::read(file).map_err(|error| {
        let help = match file {
            file if file.is_dir() => Some("name a model file, such as models/adgm.dgm".to_string()),
            file if file.exists() => None,
            file => near(file),
        };
        Error {
            help,
            ..Error::file(file, "cannot be read", error)
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let title = format!("{} is no text: byte {at} is not UTF-8", file.display());
        Error::new(title).help("name a model file, such as models/adgm.dgm; save it as UTF-8")
    })?;
    Ok(syntax::plain(&text))
}

/// "did you mean …?" for a model that is not there: the file of the same folder that is called
/// nearly so, its ending aside.
fn near(file: &Path) -> Option<String> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let there = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let stems = there.flatten().filter_map(|entry| {
        Some(
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".dgm")?
                .to_string(),
        )
    });
    let stems: Vec<String> = stems.collect();
    let near = diagnostic::nearest(
        file.file_stem()?.to_str()?,
        stems.iter().map(String::as_str),
    )?;
    Some(format!(
        "did you mean `{}`?",
        file.with_file_name(format!("{near}.dgm")).display()
    ))
}

fn check_text(file: &Path, text: &str, sets: &[(String, String)]) -> Result<Model> {
    let name = file.file_name().map_or_else(
        || file.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let shown = file.display().to_string();
    let colour = std::io::stderr().is_terminal();
    match driver::check(&name, text, sets) {
        Ok((model, lints)) => {
            eprint!("{}", diagnostic::render(&lints, &shown, text, colour));
            Ok(model)
        }
        Err(mistakes) => {
            eprint!("{}", diagnostic::render(&mistakes, &shown, text, colour));
            let count = mistakes
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .count();
            Err(Error::new(format!(
                "{shown}: {count} {}",
                if count == 1 { "mistake" } else { "mistakes" }
            )))
        }
    }
}

/// Prints to standard output; a closed pipe, as of `| head`, ends the program quietly.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::new(format!("standard output: {error}"))),
        Ok(()) => Ok(()),
    }
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
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
