//! Commands that read a model without training it: `check`, `fmt`, `explain`, `graph`, `list`.

use super::{
    arguments::{Changes, ModelFile, check_file},
    terminal::{note, print, print_json, show, shown_message, write_output},
};
use crate::{
    Drawing, Error, ErrorKind, Model, Registries, Result, format_file, format_text, is_standard,
    read_text, shown_name,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Check model files and report every mistake
///
/// Each mistake is shown with its line, what was expected and a way to correct it.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc check models/adgm.dgm models/sdgm.dgm")]
pub(super) struct Check {
    /// The model files, such as models/adgm.dgm; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// Print the diagnostics as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self) -> Result<()> {
        let (mut reports, mut mistaken) = (Vec::new(), Vec::new());
        for file in &self.files {
            let shown = shown_name(file);
            let (diagnostics, failed) = match Model::open_with(file, &self.changes.sets) {
                Ok((_, warnings)) => (warnings, None),
                Err(error) => match error.diagnostics() {
                    Some(diagnostics) => (diagnostics.clone(), Some(shown_message(&error))),
                    None => return Err(error),
                },
            };
            if self.json {
                reports.extend(diagnostics.json());
            } else {
                show(&diagnostics);
                if failed.is_none() {
                    print(&format!("{shown}: no mistakes\n"))?;
                }
            }
            mistaken.extend(failed);
        }
        if self.json {
            print_json(&reports.into())?;
        }
        if mistaken.is_empty() {
            Ok(())
        } else {
            Err(Error::of_kind(ErrorKind::Model, mistaken.join("; ")))
        }
    }
}

/// Format model files in place, in the standard layout
///
/// Rewrites each file that is not formatted, and says which on standard error. `-` formats standard
/// input to standard output.
#[derive(Args)]
#[command(
    after_help = "Example:\n  dgc fmt models/*.dgm\n  dgc fmt --check models/*.dgm\n  dgc fmt - < models/adgm.dgm"
)]
pub(super) struct Fmt {
    /// The model files; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change no file; fail if a file is not formatted
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub fn run(self) -> Result<()> {
        let mut unformatted = Vec::new();
        for file in &self.files {
            let is_changed = match is_standard(file) {
                true => self.format_standard(file)?,
                false => format_file(file, !self.check)?,
            };
            match (is_changed, self.check) {
                (true, true) => unformatted.push(shown_name(file)),
                (true, false) => note(format!("formatted {}", file.display())),
                (false, _) => {}
            }
        }
        match unformatted.as_slice() {
            [] => Ok(()),
            files => Err(Error::data(format!("not formatted: {}", files.join(", ")))
                .help("format them with `dgc fmt`")),
        }
    }

    /// Formats standard input to standard output. Returns whether, with `--check`, it differs.
    fn format_standard(&self, file: &Path) -> Result<bool> {
        let text = read_text(file)?;
        let formatted = format_text(&shown_name(file), &text)?;
        if !self.check {
            print(&formatted)?;
        }
        Ok(self.check && formatted != text)
    }
}

/// Explain what a model's training maximises, as formulas and sentences
#[derive(Args)]
#[command(after_help = "Example:\n  dgc explain models/adgm.dgm")]
pub(super) struct Explain {
    #[command(flatten)]
    model: ModelFile,
}

impl Explain {
    pub fn run(self) -> Result<()> {
        print(&self.model.check()?.explain())
    }
}

/// Draw the generative and the inference graph as SVG, DOT or text
#[derive(Args)]
#[command(after_help = "Example:\n  dgc graph models/adgm.dgm -o adgm.svg")]
pub(super) struct Graph {
    #[command(flatten)]
    model: ModelFile,
    /// The file to write; its ending, .svg, .dot or .txt, selects the format; `-` is text on
    /// standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Graph {
    pub fn run(self) -> Result<()> {
        let model = self.model.check()?;
        let Some(path) = self.output.as_ref().filter(|path| !is_standard(path)) else {
            return print(&model.graph(Drawing::Text));
        };
        check_file(path, &["svg", "dot", "txt"], &[&self.model.file])?;
        let drawing = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Drawing::Svg,
            Some("dot") => Drawing::Dot,
            _ => Drawing::Text,
        };
        write_output(path, model.graph(drawing).as_bytes())
    }
}

/// List the distributions, layers, optimisers, estimators and lines of the language
///
/// The list ends with the rules that simplify the tensor graph.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc list\n  dgc list --json")]
pub(super) struct List {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(self) -> Result<()> {
        let registries = Registries::new();
        if self.json {
            print_json(&registries.to_json())
        } else {
            print(&registries.to_string())
        }
    }
}
