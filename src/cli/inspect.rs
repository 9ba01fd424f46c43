//! Commands that inspect a model.

use super::{
    arguments::{Changes, ModelFile},
    terminal::{print, print_json, show},
};
use crate::{Drawing, Error, ErrorKind, Model, Registries, Result, format_file};
use clap::Args;
use std::path::PathBuf;

/// Check models, and report every mistake with its place
#[derive(Args)]
pub(super) struct Check {
    /// The model files, such as models/adgm.dgm
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// Print the diagnostics as JSON on standard output
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self) -> Result<()> {
        let (mut reports, mut mistaken) = (Vec::new(), Vec::new());
        for file in &self.files {
            let shown = file.display();
            let (diagnostics, failed) = match Model::open_with(file, &self.changes.sets) {
                Ok((_, warnings)) => (warnings, None),
                Err(error) => match error.diagnostics() {
                    Some(diagnostics) => (diagnostics.clone(), Some(error.message().to_string())),
                    None => return Err(error),
                },
            };
            if self.json {
                reports.extend(diagnostics.json());
            } else {
                show(&diagnostics);
                if failed.is_none() {
                    print(&format!("{shown}: fine\n"))?;
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

/// Lay out model files as usual
#[derive(Args)]
pub(super) struct Fmt {
    /// The model files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; fail if a file is laid out otherwise
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub fn run(self) -> Result<()> {
        let mut unusual = Vec::new();
        for file in &self.files {
            let is_changed = format_file(file, !self.check)?;
            if is_changed && self.check {
                unusual.push(file.display().to_string());
            }
        }
        match unusual.as_slice() {
            [] => Ok(()),
            files => Err(
                Error::data(format!("not laid out as usual: {}", files.join(", ")))
                    .help("run `dgc fmt` on them"),
            ),
        }
    }
}

/// Explain what a model's training maximises, as formulas and sentences
#[derive(Args)]
pub(super) struct Explain {
    #[command(flatten)]
    model: ModelFile,
}

impl Explain {
    pub fn run(self) -> Result<()> {
        print(&self.model.check()?.explain())
    }
}

/// Draw both graphs: as SVG, as DOT, or as text
#[derive(Args)]
pub(super) struct Graph {
    #[command(flatten)]
    model: ModelFile,
    /// A file whose name ends in .svg, .dot or .txt; text on standard output if left out
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Graph {
    pub fn run(self) -> Result<()> {
        let model = self.model.check()?;
        let Some(path) = &self.output else {
            return print(&model.graph(Drawing::Text));
        };
        let drawing = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Drawing::Svg,
            Some("dot") => Drawing::Dot,
            Some("txt") => Drawing::Text,
            _ => {
                let message = format!("{}: not a kind of picture that dgc draws", path.display());
                return Err(Error::usage(message).help("end the name in .svg, .dot or .txt"));
            }
        };
        crate::files::write_whole(path, model.graph(drawing).as_bytes())
    }
}

/// List distributions, layers, optimisers, estimators, lines and simplification rules
#[derive(Args)]
pub(super) struct List {
    /// Print as JSON
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
