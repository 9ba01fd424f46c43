//! Commands that use what a run has learnt: eval, predict, encode, sample.

use super::{
    arguments::at_least_one,
    device::DeviceArguments,
    terminal::{print, print_json},
};
use crate::{
    DataPart, Dataset, Result, Rows, Run, SampleOptions,
    files::{folder_of, write_whole},
};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// A run, and the rows that it is used on.
#[derive(Args)]
struct Source {
    /// The folder of a run
    run: PathBuf,
    /// The data set; the run's own if left out
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Which of its rows; if left out the test rows, else those that the run held out, else the
    /// training rows
    #[arg(long, value_enum)]
    part: Option<PartName>,
    /// Samples a row
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    samples: usize,
    /// Use only this many rows
    #[arg(long, value_parser = at_least_one)]
    rows: Option<usize>,
    #[command(flatten)]
    device: DeviceArguments,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartName {
    /// The rows that the data set sets apart for tests
    Test,
    /// The training rows that the run held out
    Validation,
    /// The rows that the run trained on, with every label that the data set has
    Train,
}

impl Source {
    fn open(&self) -> Result<Run> {
        let run = Run::open_on(&self.run, &self.device.choice())?;
        Ok(run.with_samples(self.samples).with_seed(self.seed))
    }

    fn rows(&self, run: &Run) -> Result<Rows> {
        let part = self.part.map(|part| match part {
            PartName::Test => DataPart::Test,
            PartName::Validation => DataPart::Validation,
            PartName::Train => DataPart::Train,
        });
        let rows = match &self.data {
            Some(data) => run.rows_of(&Dataset::open(data, run.model())?, part)?,
            None => run.rows(part)?,
        };
        Ok(match self.rows {
            Some(count) => rows.first(count),
            None => rows,
        })
    }
}

/// Bounds, the log-likelihood and the label error on the test rows
#[derive(Args)]
pub(super) struct Eval {
    #[command(flatten)]
    source: Source,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let run = self.source.open()?;
        let evaluation = run.evaluate(&self.source.rows(&run)?)?;
        if self.json {
            print_json(&evaluation.to_json())
        } else {
            print(&evaluation.to_string())
        }
    }
}

/// Write the label of each row, with its probability, as CSV; rows by their place in the data set,
/// from 0
#[derive(Args)]
pub(super) struct Predict {
    #[command(flatten)]
    source: Source,
    /// The CSV file
    #[arg(short, long)]
    output: PathBuf,
}

impl Predict {
    pub fn run(self) -> Result<()> {
        folder_of(&self.output)?;
        let run = self.source.open()?;
        let rows = self.source.rows(&run)?;
        run.predict(&rows)?.write_csv(&rows, &self.output)?;
        print_rows(&rows, &self.output)
    }
}

/// Write the mean of every latent's posterior for each row, as npz; `row number` is their place in
/// the data set, from 0
#[derive(Args)]
pub(super) struct Encode {
    #[command(flatten)]
    source: Source,
    /// The npz file
    #[arg(short, long)]
    output: PathBuf,
}

impl Encode {
    pub fn run(self) -> Result<()> {
        folder_of(&self.output)?;
        let run = self.source.open()?;
        let rows = self.source.rows(&run)?;
        run.encode(&rows)?.write_npz(&rows, &self.output)?;
        print_rows(&rows, &self.output)
    }
}

fn print_rows(rows: &Rows, output: &Path) -> Result<()> {
    print(&format!("{} rows in {}\n", rows.len(), output.display()))
}

/// Draw data from the generative graph, as a picture: a column for each class
#[derive(Args)]
pub(super) struct Sample {
    #[command(flatten)]
    source: Source,
    /// The PNG file
    #[arg(short, long)]
    output: PathBuf,
    /// Take z from the first test rows, shown in the first column, and vary the class
    #[arg(long)]
    analogy: bool,
    /// Rows of the picture
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    lines: usize,
}

impl Sample {
    pub fn run(self) -> Result<()> {
        folder_of(&self.output)?;
        let run = self.source.open()?;
        let rows = self.analogy.then(|| self.source.rows(&run)).transpose()?;
        let samples = run.sample(&SampleOptions {
            lines: self.lines,
            analogy: rows,
            seed: self.source.seed,
        })?;
        write_whole(&self.output, &samples.png()?)?;
        print(&format!(
            "{} × {} pictures in {}\n",
            samples.lines,
            samples.across(),
            self.output.display()
        ))
    }
}
