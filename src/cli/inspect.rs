//! Commands that read a model and say something of it.

use super::{Changes, ModelFile, check_text, print, read_text};
use crate::{
    bound, diagnostic, distribution, driver,
    error::{Error, Result},
    estimator,
    files::write_whole,
    layer, lines, model, optimizer, simplify, syntax,
};
use clap::Args;
use std::{fs, path::PathBuf};

/// Check models, and report every mistake with its place
#[derive(Args)]
pub struct Check {
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
        let texts = self
            .files
            .iter()
            .map(|file| Ok((file, read_text(file)?)))
            .collect::<Result<Vec<_>>>()?;
        let (mut reports, mut mistaken) = (Vec::new(), Vec::new());
        for (file, text) in &texts {
            let shown = file.display().to_string();
            if self.json {
                let (diagnostics, fine) = match driver::check(&shown, text, &self.changes.sets) {
                    Ok((_, lints)) => (lints, true),
                    Err(mistakes) => (mistakes, false),
                };
                reports.extend(diagnostic::json(&diagnostics, &shown, text));
                mistaken.extend((!fine).then(|| format!("{shown}: not a model")));
                continue;
            }
            match check_text(file, text, &self.changes.sets) {
                Ok(_) => print(&format!("{shown}: fine\n"))?,
                Err(error) => mistaken.push(error.to_string()),
            }
        }
        if self.json {
            print(&format!("{:#}\n", serde_json::Value::from(reports)))?;
        }
        if mistaken.is_empty() {
            Ok(())
        } else {
            Err(Error::new(mistaken.join("; ")))
        }
    }
}

/// Lay out model files as usual
#[derive(Args)]
pub struct Fmt {
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
            let text = read_text(file)?;
            let shown = file.display().to_string();
            let tree = syntax::parse(&text).map_err(|mistakes| {
                eprint!("{}", diagnostic::render(&mistakes, &shown, &text, false));
                Error::new(format!("{shown}: only a text that parses can be laid out"))
            })?;
            let formatted = syntax::format(&text);
            if fs::read(file).is_ok_and(|bytes| bytes == formatted.as_bytes()) {
                continue;
            }
            if syntax::parse(&formatted).map(|tree| syntax::print(&tree))
                != Ok(syntax::print(&tree))
            {
                let title = format!(
                    "{shown}: the usual layout would read as another model; the file is left as it is"
                );
                return Err(Error::new(title)
                    .help("this is a mistake of dgc: please report it with the file"));
            }
            if self.check {
                unusual.push(shown);
            } else {
                write_whole(file, formatted.as_bytes())?;
            }
        }
        match unusual.as_slice() {
            [] => Ok(()),
            files => Err(
                Error::new(format!("not laid out as usual: {}", files.join(", ")))
                    .help("run `dgc fmt` on them"),
            ),
        }
    }
}

/// Say what a model's training maximises, as mathematics
#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    model: ModelFile,
}

impl Explain {
    pub fn run(self) -> Result<()> {
        let model = self.model.check()?;
        print(&bound::explain(&model, &driver::derive(&model)))
    }
}

/// Draw both graphs: as SVG, as DOT, or as text
#[derive(Args)]
pub struct Graph {
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
            return print(&model::print(&model));
        };
        let drawing = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => model::to_svg(&model),
            Some("dot") => model::to_dot(&model),
            Some("txt") => model::print(&model),
            _ => {
                let message = format!("{}: not a kind of picture that dgc draws", path.display());
                return Err(Error::new(message).help("end the name in .svg, .dot or .txt"));
            }
        };
        write_whole(path, drawing.as_bytes())
    }
}

/// List distributions, layers, optimisers, estimators, lines and the rules of simplification
#[derive(Args)]
pub struct List {}

impl List {
    pub fn run(self) -> Result<()> {
        let mut text = String::from(
            "distributions: their values, with constants, with a network and its heads\n",
        );
        for known in distribution::DISTRIBUTIONS {
            let constants = known.arguments().join(", ");
            let call = if constants.is_empty() {
                known.name().to_string()
            } else {
                format!("{}({constants})", known.name())
            };
            let (heads, values) = (known.head_names().join(", "), known.support().name());
            let network = if heads.is_empty() {
                String::new()
            } else {
                format!("{}(network): {heads}", known.name())
            };
            let drawn = if known.noise().is_some() {
                "may be inferred"
            } else {
                "density only"
            };
            text += &format!("  {values:9} {call:36} {network:52} {drawn}\n");
        }
        text += "of several components, in `generative`, without parents\n";
        text +=
            "  mixture(distribution, components)    each component with learned heads and weight\n";
        text += "  vamp(components)                     q of the latent at learned pseudo-inputs\n";
        let arguments = |arguments: &[layer::Argument]| -> String {
            let one = |argument: &layer::Argument| match argument.default {
                Some(default) if default != 0.0 && default < 1e-3 => {
                    format!("{} = {default:e}", argument.name)
                }
                Some(default) if default.is_nan() => format!("[{}]", argument.name),
                Some(default) => format!("{} = {default}", argument.name),
                None => argument.name.to_string(),
            };
            arguments.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        text += "layers\n";
        for known in layer::LAYERS {
            text += format!("  {:18} {}", known.name(), arguments(known.arguments())).trim_end();
            text.push('\n');
        }
        text += "optimizers\n";
        for known in optimizer::OPTIMIZERS {
            text += &format!("  {:18} {}\n", known.name(), arguments(known.arguments()));
        }
        text += "estimators of discrete variables\n";
        for known in estimator::ESTIMATORS {
            let call = if known.takes_network() {
                "network".to_string()
            } else {
                arguments(known.arguments())
            };
            text += format!("  {:5} {:18} {call}", known.keyword(), known.name()).trim_end();
            text.push('\n');
        }
        text += "lines of `objective` and `train`\n";
        for line in lines::LINES {
            let (block, example) = (line.block().keyword(), line.example(true));
            text += &format!("  {block:9} {example:56} {}\n", line.summary());
        }
        text += "rules of simplification\n";
        for identity in simplify::identities() {
            text += &format!("  {identity}\n");
        }
        print(&text)
    }
}
