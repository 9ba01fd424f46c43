//! `dgc new`: a first model for a table.

use super::{
    arguments::check_file,
    terminal::{print, write_output},
};
use crate::{Error, Recipe, Result, draft, is_standard};
use clap::Args;
use std::path::PathBuf;

/// Write a first model for a CSV file
///
/// The model has a variable for the numeric columns, one for each column of names, and the label. Its
/// comments say what each is. It trains as it is: `dgc train MODEL --data FILE`.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc new wine.csv --label species -o wine.dgm")]
pub(super) struct New {
    /// The table, a .csv or .tsv file
    data: PathBuf,
    /// The column to predict; its values are classes, and may be missing in some rows
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The model file to write, NAME.dgm; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl New {
    pub fn run(self) -> Result<()> {
        check_file(&self.output, &["dgm"], &[&self.data])?;
        if !is_standard(&self.output) && self.output.exists() {
            let message = format!("{}: the file exists", self.output.display());
            return Err(Error::usage(message).help("choose another name, or remove the file"));
        }
        let text = draft(&self.data, self.label.as_deref(), Recipe::Joint)?;
        write_output(&self.output, text.as_bytes())?;
        if is_standard(&self.output) {
            return Ok(());
        }
        let (model, data) = (self.output.display(), self.data.display());
        print(&format!(
            "wrote {model}; train it with: dgc train {model} --data {data}\n"
        ))
    }
}
