//! Commands that use a trained run: `eval`, `predict`, `encode`, `score`, `sample`.

use super::{
    arguments::{at_least_one, check_file, whole},
    device::DeviceArguments,
    terminal::{print, print_json, show_notes, write_output},
};
use crate::{
    CheckpointChoice, DataPart, Ensemble, Result, ResultTable, Rows, Run, SampleOptions, Seeds,
    TableFormat, is_standard,
};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// A run and the rows to use it on.
#[derive(Args)]
struct Source {
    /// The folder of a run, such as runs/adgm; `dgc predict` and `dgc eval` also take the folder of
    /// several seeds, and average the class probabilities of its runs
    run: PathBuf,
    /// The data set: `mnist`, a folder of idx files, or an .npz, .safetensors or .csv file [default:
    /// the run's data set]
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// The rows of the data set to use [default: test rows if there are any, else the validation
    /// rows, else the training rows]
    #[arg(long, value_enum)]
    part: Option<PartName>,
    /// The parameters to use: those of the best epoch if the run chooses one (`dgc train
    /// --patience` or --criterion), or the last ones
    #[arg(long, value_enum, default_value_t = CheckpointName::Best)]
    checkpoint: CheckpointName,
    /// The number of samples per row
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<usize>, allow_negative_numbers = true)]
    samples: usize,
    /// Use only the first N rows [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    rows: Option<usize>,
    #[command(flatten)]
    device: DeviceArguments,
    /// The seed of the samples
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>, allow_negative_numbers = true)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartName {
    /// The test rows of the data set
    Test,
    /// The validation rows of the data set, or the training rows that the run held out
    Validation,
    /// The rows that the run trained on, with all labels of the data set
    Train,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckpointName {
    /// Those of the best epoch, or the last ones if the run does not choose one
    Best,
    /// Those of the last checkpoint
    Last,
}

impl Source {
    /// The runs of a folder of several seeds, whose predictions are averaged; `None` for one run.
    fn ensemble(&self) -> Result<Option<Ensemble>> {
        if !Seeds::is_in(&self.run) {
            return Ok(None);
        }
        let ensemble = Ensemble::open_on(&self.run, &self.device.choice()?)?;
        Ok(Some(ensemble.map(|run| self.applied(run))))
    }

    /// The rows to use several runs on.
    fn rows_of_ensemble(&self, ensemble: &Ensemble) -> Result<Rows> {
        let part = self.part();
        let rows = match &self.data {
            Some(data) => ensemble.rows_of(&ensemble.open_data(data)?, part)?,
            None => ensemble.rows(part)?,
        };
        Ok(self.first_of(rows))
    }

    /// A run with these options.
    fn applied(&self, run: Run) -> Run {
        let checkpoint = match self.checkpoint {
            CheckpointName::Best => CheckpointChoice::Best,
            CheckpointName::Last => CheckpointChoice::Last,
        };
        run.with_checkpoint(checkpoint)
            .with_samples(self.samples)
            .with_seed(self.seed)
    }

    fn open(&self) -> Result<Run> {
        let run = Run::open_on(&self.run, &self.device.choice()?)?;
        Ok(self.applied(run))
    }

    /// Opens the run to write a file with one of these endings, which is not the data set.
    fn open_for(&self, output: &Path, endings: &[&str]) -> Result<Run> {
        check_file(output, endings, &[])?;
        let run = self.open()?;
        let data = self.data.as_deref().or(run.data()).map(Path::new);
        check_file(output, endings, data.as_slice())?;
        Ok(run)
    }

    /// Writes the table that `make` computes, in the format of the output's ending, or on standard
    /// output in the `usual` one.
    fn write_table(
        &self,
        output: &Path,
        usual: TableFormat,
        make: impl FnOnce(&Run, &Rows) -> Result<ResultTable>,
    ) -> Result<()> {
        // The first is named in the example of a message.
        let endings = match usual {
            TableFormat::Csv => ["csv", "npz"],
            TableFormat::Npz => ["npz", "csv"],
        };
        let run = self.open_for(output, &endings)?;
        let rows = self.rows(&run)?;
        write_results(output, usual, &rows, &make(&run, &rows)?)
    }

    /// Writes the averaged predictions of several runs.
    fn write_averages(&self, output: &Path, ensemble: &Ensemble) -> Result<()> {
        let data = self.data.as_deref().or(ensemble.runs()[0].data());
        let data = data.map(Path::new);
        check_file(output, &["csv", "npz"], data.as_slice())?;
        let rows = self.rows_of_ensemble(ensemble)?;
        let table = ensemble.predict(&rows)?.table(&rows);
        write_results(output, TableFormat::Csv, &rows, &table)
    }

    fn part(&self) -> Option<DataPart> {
        self.part.map(|part| match part {
            PartName::Test => DataPart::Test,
            PartName::Validation => DataPart::Validation,
            PartName::Train => DataPart::Train,
        })
    }

    fn first_of(&self, rows: Rows) -> Rows {
        match self.rows {
            Some(count) => rows.first(count),
            None => rows,
        }
    }

    fn rows(&self, run: &Run) -> Result<Rows> {
        let part = self.part();
        let rows = match &self.data {
            Some(data) => run.rows_of(&run.open_data(data)?, part)?,
            None => run.rows(part)?,
        };
        Ok(self.first_of(rows))
    }
}

/// Evaluate a run: bound, log-likelihood, label error and confusion matrix
///
/// Numbers are in nats per row, averaged over the rows.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc eval runs/adgm --samples 100")]
pub(super) struct Eval {
    #[command(flatten)]
    source: Source,
    /// Print the evaluation as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        if let Some(ensemble) = self.source.ensemble()? {
            let rows = self.source.rows_of_ensemble(&ensemble)?;
            let evaluation = ensemble.evaluate(&rows)?;
            return match self.json {
                true => print_json(&evaluation.to_json()),
                false => print(&evaluation.to_string()),
            };
        }
        let run = self.source.open()?;
        let evaluation = run.evaluate(&self.source.rows(&run)?)?;
        show_notes(&evaluation.notes());
        if self.json {
            print_json(&evaluation.to_json())
        } else {
            print(&evaluation.to_string())
        }
    }
}

/// Write the labels of each row and the probability of every class, as CSV or npz
///
/// The columns are `row`, the row's number among the rows of its part (such as the test rows), from 0,
/// and for each label: its most probable class, the probability of that class, the true class where the data have it, and the
/// probability of every class.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc predict runs/adgm -o labels.csv")]
pub(super) struct Predict {
    #[command(flatten)]
    source: Source,
    /// The file to write, NAME.csv or NAME.npz; `-` is standard output, as CSV
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Predict {
    pub fn run(self) -> Result<()> {
        if let Some(ensemble) = self.source.ensemble()? {
            return self.source.write_averages(&self.output, &ensemble);
        }
        let table = |run: &Run, rows: &Rows| Ok(run.predict(rows)?.table(rows));
        self.source
            .write_table(&self.output, TableFormat::Csv, table)
    }
}

/// Write the posterior means of the latent variables, as npz or CSV
///
/// An npz file has an array with axes row, feature for each latent variable, an array of class
/// probabilities for each label, and `row number`: the rows' numbers in the data set, from 0. A CSV
/// file has the same numbers in columns: `row`, `z0`, `z1` and so on.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc encode runs/adgm -o latents.npz")]
pub(super) struct Encode {
    #[command(flatten)]
    source: Source,
    /// The file to write, NAME.npz or NAME.csv; `-` is standard output, as npz
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Encode {
    pub fn run(self) -> Result<()> {
        let table = |run: &Run, rows: &Rows| Ok(run.encode(rows)?.table(rows));
        self.source
            .write_table(&self.output, TableFormat::Npz, table)
    }
}

/// Write the log-likelihood of each row, as CSV or npz
///
/// The log-likelihood is in nats, with labels hidden: the logarithm of the mean importance weight over
/// the samples. A row that is unlike the training rows has a low one. The columns are `row`, the row's
/// number in the data set, from 0, and `log-likelihood`.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc score runs/adgm --samples 100 -o scores.csv")]
pub(super) struct Score {
    #[command(flatten)]
    source: Source,
    /// The file to write, NAME.csv or NAME.npz; `-` is standard output, as CSV
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Score {
    pub fn run(self) -> Result<()> {
        self.source
            .write_table(&self.output, TableFormat::Csv, |run, rows| {
                let scores = run.log_likelihood(rows)?;
                Ok(ResultTable::of_numbers(rows, "log-likelihood", &scores))
            })
    }
}

/// Writes a table in the format of the output's ending, or on standard output in the `usual` one.
fn write_results(
    output: &Path,
    usual: TableFormat,
    rows: &Rows,
    table: &ResultTable,
) -> Result<()> {
    let format = match is_standard(output) {
        true => usual,
        false => TableFormat::of(output),
    };
    write_output(output, &table.to_bytes(format)?)?;
    print_written(&format!("{} rows", rows.len()), output)
}

/// Says what was written to a file; standard output has the result alone.
fn print_written(what: &str, output: &Path) -> Result<()> {
    if is_standard(output) {
        return Ok(());
    }
    print(&format!("wrote {what} to {}\n", output.display()))
}

/// Draw data from the generative graph as a PNG picture
///
/// The picture has a column for each class. --data, --part, --rows and --samples apply to the rows
/// of --analogy only.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc sample runs/adgm -o samples.png --analogy")]
pub(super) struct Sample {
    #[command(flatten)]
    source: Source,
    /// The PNG file to write, NAME.png; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Infer the latent variables from the first rows, shown in the first column, and vary only the
    /// class
    #[arg(long)]
    analogy: bool,
    /// The number of rows in the picture
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<usize>, allow_negative_numbers = true)]
    lines: usize,
}

impl Sample {
    pub fn run(self) -> Result<()> {
        let run = self.source.open_for(&self.output, &["png"])?;
        let rows = self.analogy.then(|| self.source.rows(&run)).transpose()?;
        let samples = run.sample(&SampleOptions {
            lines: self.lines,
            analogy: rows,
            seed: self.source.seed,
        })?;
        write_output(&self.output, &samples.png()?)?;
        let what = format!("{} × {} images", samples.lines, samples.across());
        print_written(&what, &self.output)
    }
}
