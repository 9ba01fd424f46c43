//! Commands that use a trained run: `eval`, `predict`, `encode`, `score`, `reconstruct`, `calibrate`, `sample`.

use super::{
    arguments::{at_least_one, check_file, set, whole},
    device::DeviceArguments,
    terminal::{note, print, print_json, show_notes, write_output},
};
use crate::{
    CheckpointChoice, DataFiles, DataPart, Ensemble, Error, Result, ResultTable, Rows, Run,
    SampleOptions, Seeds, TableFormat, is_standard,
};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// A run and the rows to use it on.
#[derive(Args)]
struct Source {
    /// The folder of a run, such as runs/adgm; `dgc predict` and `dgc eval` also take the folder of
    /// several seeds, and average the predictions of its runs
    run: PathBuf,
    /// The data set: `mnist`, a folder of images, arrays or idx files, or a .csv, .parquet, .npz,
    /// .safetensors or .h5ad file [default: the run's data set]
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

/// Whether class probabilities are calibrated.
#[derive(Args)]
struct Calibrated {
    /// Leave class probabilities as the model gives them, without the calibration of the run
    #[arg(long)]
    uncalibrated: bool,
}

impl Calibrated {
    fn prepare(&self, run: Run) -> Result<Run> {
        if self.uncalibrated {
            return Ok(run.uncalibrated());
        }
        if let Some(found) = run.calibration()? {
            let temperatures = found
                .labels
                .iter()
                .map(|(label, found)| format!("temperature {:.4} of {label}", found.temperature));
            note(format!(
                "class probabilities are calibrated: {}\n  help: `--uncalibrated` turns it off",
                temperatures.collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(run)
    }

    /// The same for the members of an ensemble.
    fn prepare_all(&self, ensemble: Ensemble) -> Result<Ensemble> {
        if self.uncalibrated {
            return Ok(ensemble.map(Run::uncalibrated));
        }
        let mut calibrated = 0;
        for run in ensemble.runs() {
            calibrated += usize::from(run.calibration()?.is_some());
        }
        if calibrated > 0 {
            note(format!(
                "the class probabilities of {calibrated} of {} runs are calibrated\n  help: \
                 `--uncalibrated` turns it off",
                ensemble.runs().len()
            ));
        }
        Ok(ensemble)
    }
}

/// A table of results to write.
#[derive(Args)]
struct Target {
    /// The file to write, NAME.csv, NAME.parquet or NAME.npz; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Copy this column of the table with the rows to the results; repeat the option to copy several.
    /// An npz file cannot have such columns
    #[arg(long, value_name = "COLUMN")]
    id: Vec<String>,
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

/// Further runs of an ensemble.
#[derive(Args)]
struct Others {
    /// Further runs with the same labels, of any models: their predictions and those of the first are
    /// averaged
    #[arg(value_name = "RUN")]
    others: Vec<PathBuf>,
}

impl Source {
    /// The runs whose predictions are averaged: those of a folder of several seeds, and `others`; `None`
    /// for one run.
    fn ensemble(&self, Others { others }: &Others) -> Result<Option<Ensemble>> {
        let folders = || std::iter::once(&self.run).chain(others);
        if others.is_empty() && !Seeds::is_in(&self.run) {
            return Ok(None);
        }
        let device = self.device.choice()?;
        let mut runs = Vec::new();
        for folder in folders() {
            match Seeds::is_in(folder) {
                true => runs.extend(Ensemble::open_on(folder, &device)?.into_runs()),
                false => runs.push(Run::open_on(folder, &device)?),
            }
        }
        Ok(Some(Ensemble::new(runs)?.map(|run| self.applied(run))))
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
        self.check_not_data(output, endings, &run)?;
        Ok(run)
    }

    /// Checks that a file to write is none of the data set.
    fn check_not_data(&self, output: &Path, endings: &[&str], run: &Run) -> Result<()> {
        let files = match &self.data {
            Some(data) => Some(DataFiles::from(data.as_str())),
            None => run.data_files(),
        };
        let names = files.iter().flat_map(DataFiles::names).map(Path::new);
        check_file(output, endings, &names.collect::<Vec<_>>())
    }

    /// Writes the table that `make` computes, with copied columns, in the format of the output's ending,
    /// or on standard output in the `usual` one.
    fn write_table(
        &self,
        Target { output, id }: &Target,
        usual: TableFormat,
        chosen: &[(String, String)],
        prepare: impl FnOnce(Run) -> Result<Run>,
        make: impl FnOnce(&Run, &Rows) -> Result<ResultTable>,
    ) -> Result<()> {
        // The first is named in the example of a message.
        let endings = match usual {
            TableFormat::Csv | TableFormat::Parquet => ["csv", "npz", "parquet"],
            TableFormat::Npz => ["npz", "csv", "parquet"],
        };
        let run = prepare(self.open_for(output, &endings)?)?;
        if format_of(output, usual) == TableFormat::Npz && !id.is_empty() {
            let message = "--id: an npz file cannot have columns of text";
            return Err(Error::usage(message).help("write a .csv or .parquet file"));
        }
        let rows = self.rows_where(&run, chosen)?;
        let mut copied = Vec::new();
        for name in id {
            copied.push((name, rows.column(name)?));
        }
        let mut table = make(&run, &rows)?;
        for (name, texts) in copied {
            table = table.with_column(name, texts)?;
        }
        write_results(output, usual, &rows, &table)
    }

    /// Writes the averaged predictions of several runs.
    fn write_averages(&self, target: &Target, ensemble: &Ensemble) -> Result<()> {
        let Target { output, id } = target;
        self.check_not_data(output, &["csv", "npz", "parquet"], &ensemble.runs()[0])?;
        let rows = self.rows_of_ensemble(ensemble)?;
        let mut table = ensemble.predict(&rows)?.table(&rows);
        for name in id {
            table = table.with_column(name, rows.column(name)?)?;
        }
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
        self.rows_of(run, self.part())
    }

    /// The rows, which need no variable that is chosen and that q does not read.
    fn rows_where(&self, run: &Run, chosen: &[(String, String)]) -> Result<Rows> {
        let rows = match &self.data {
            Some(data) => run.rows_of(&run.open_data_where(data, chosen)?, self.part())?,
            None => run.rows(self.part())?,
        };
        Ok(self.first_of(rows))
    }

    fn rows_of(&self, run: &Run, part: Option<DataPart>) -> Result<Rows> {
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
    #[command(flatten)]
    others: Others,
    #[command(flatten)]
    calibrated: Calibrated,
    /// Print the evaluation as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        if let Some(ensemble) = self.source.ensemble(&self.others)? {
            let ensemble = self.calibrated.prepare_all(ensemble)?;
            let rows = self.source.rows_of_ensemble(&ensemble)?;
            let evaluation = ensemble.evaluate(&rows)?;
            return match self.json {
                true => print_json(&evaluation.to_json()),
                false => print(&evaluation.to_string()),
            };
        }
        let run = self.calibrated.prepare(self.source.open()?)?;
        let evaluation = run.evaluate(&self.source.rows(&run)?)?;
        show_notes(&evaluation.notes());
        if self.json {
            print_json(&evaluation.to_json())
        } else {
            print(&evaluation.to_string())
        }
    }
}

/// Write the label of each row and the probability of every class, as a table
///
/// The columns are `row`, the number of the row in its table or array, from 0, and for each label: its
/// most probable class, the probability of that class, the true class where the data have it, and the
/// probability of every class.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc predict runs/adgm -o labels.csv")]
pub(super) struct Predict {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    others: Others,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    calibrated: Calibrated,
}

impl Predict {
    pub fn run(self) -> Result<()> {
        if let Some(ensemble) = self.source.ensemble(&self.others)? {
            let ensemble = self.calibrated.prepare_all(ensemble)?;
            return self.source.write_averages(&self.target, &ensemble);
        }
        let prepare = |run| self.calibrated.prepare(run);
        let table = |run: &Run, rows: &Rows| Ok(run.predict(rows)?.table(rows));
        self.source
            .write_table(&self.target, TableFormat::Csv, &[], prepare, table)
    }
}

/// Write the posterior means of the latent variables, as npz, CSV or Parquet
///
/// An npz file has an array with axes row, feature for each latent variable, an array of class
/// probabilities for each label, and `row number`: the rows' numbers in their array, from 0. A CSV
/// file has the same numbers in columns: `row`, `z0`, `z1` and so on.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc encode runs/adgm -o latents.npz")]
pub(super) struct Encode {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    calibrated: Calibrated,
}

impl Encode {
    pub fn run(self) -> Result<()> {
        let prepare = |run| self.calibrated.prepare(run);
        let table = |run: &Run, rows: &Rows| Ok(run.encode(rows)?.table(rows));
        self.source
            .write_table(&self.target, TableFormat::Npz, &[], prepare, table)
    }
}

/// Write the log-likelihood of each row, as CSV, Parquet or npz
///
/// The log-likelihood is in nats, with labels hidden: the logarithm of the mean importance weight over
/// the samples. A row that is unlike the training rows has a low one. The columns are `row`, the number
/// of the row in its table or array, from 0, and `log-likelihood`. Grey values of binary data become
/// bits that depend on the row's place in its data set.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc score runs/adgm --samples 100 -o scores.csv")]
pub(super) struct Score {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

impl Score {
    pub fn run(self) -> Result<()> {
        self.source
            .write_table(&self.target, TableFormat::Csv, &[], Ok, |run, rows| {
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
    write_output(output, &table.to_bytes(format_of(output, usual))?)?;
    print_written(&format!("{} rows", rows.len()), output)
}

/// The format of an output's ending, or of standard output the `usual` one.
fn format_of(output: &Path, usual: TableFormat) -> TableFormat {
    match is_standard(output) {
        true => usual,
        false => TableFormat::of(output),
    }
}

/// Write the mean of each data variable given what is inferred of the row
///
/// The means are those of p(x | z, …), averaged over samples of the latent variables, and over classes
/// with the probabilities of q. Labels are hidden. The arrays of an npz file have axes row, feature; a
/// CSV file has the names of the columns of the training table, if there was one.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dgc reconstruct runs/vae -o means.npz\n  dgc reconstruct runs/cells -o normalized.npz --where library=10000 --where batch=0"
)]
pub(super) struct Reconstruct {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
    /// Let p read this value of a given variable instead of those of the rows: a class by name or
    /// number, or numbers separated by commas; repeat the option for several variables. The means are
    /// averaged over several values of a variable. q reads the values of the rows
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = set)]
    chosen: Vec<(String, String)>,
}

impl Reconstruct {
    pub fn run(self) -> Result<()> {
        let chosen = &self.chosen;
        let table = |run: &Run, rows: &Rows| Ok(run.reconstruct_where(rows, chosen)?.table(rows));
        self.source
            .write_table(&self.target, TableFormat::Npz, chosen, Ok, table)
    }
}

/// Fill in the missing values of rows, as CSV, Parquet or npz
///
/// A value that is observed stays as it is. A missing one becomes its mean given what is inferred of the
/// observed ones, as `dgc reconstruct` computes it. For a class variable, there is the probability of each
/// class. The model's variables need `with missing` behind their types.
///
/// With --draws, each missing value is drawn several times from its distribution given the observed ones,
/// for multiple imputation. The values of one draw of a row are drawn jointly. A CSV file has a line for
/// each draw of each row, with its number in the column `draw`; the arrays of an npz file have axes row,
/// draw, feature.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dgc impute runs/blood --data blood.csv -o filled.csv\n  dgc impute runs/blood --data blood.csv -o draws.csv --draws 20"
)]
pub(super) struct Impute {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
    /// Write N draws of each missing value instead of its mean; --samples has no effect
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    draws: Option<usize>,
}

impl Impute {
    pub fn run(self) -> Result<()> {
        let table = |run: &Run, rows: &Rows| match self.draws {
            Some(draws) => Ok(run.impute_draws(rows, draws)?.table(rows)),
            None => Ok(run.impute(rows)?.table(rows)),
        };
        self.source
            .write_table(&self.target, TableFormat::Csv, &[], Ok, table)
    }
}

/// Calibrate the class probabilities of a run by a temperature
///
/// The temperature of a label makes the log loss of the rows that the run held out the least (Guo et
/// al. 2017). It is stored in the run, and `dgc predict`, `dgc encode` and `dgc eval` use it. It does
/// not change which class is the most probable. Test rows are refused.
#[derive(Args)]
#[command(
    after_help = "Example:\n  dgc train models/m2.dgm --validation 1000\n  dgc calibrate runs/m2"
)]
pub(super) struct Calibrate {
    #[command(flatten)]
    source: Source,
}

impl Calibrate {
    pub fn run(self) -> Result<()> {
        let mut run = self.source.open()?;
        let unseen = match self.source.data {
            Some(_) => DataPart::Train,
            None => DataPart::Validation,
        };
        let part = self.source.part().unwrap_or(unseen);
        let rows = self.source.rows_of(&run, Some(part))?;
        let calibration = run.calibrate(&rows)?;
        print(&calibration.to_string())
    }
}

/// Says what was written to a file; standard output has the result alone.
fn print_written(what: &str, output: &Path) -> Result<()> {
    if is_standard(output) {
        return Ok(());
    }
    print(&format!("wrote {what} to {}\n", output.display()))
}

/// Draw data from the generative graph, as a PNG picture, npz, CSV or Parquet
///
/// Latent variables are drawn, and the result is the mean of each data variable given them. A picture
/// has a column for each class; it needs a model of one image, grey or of three channels. A table has
/// the classes and all data variables, with a row for each line and class. --data, --part, --rows and
/// --samples apply to the rows of --analogy only.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dgc sample runs/adgm -o samples.png --analogy\n  dgc sample runs/iris -o samples.csv --where y=setosa"
)]
pub(super) struct Sample {
    #[command(flatten)]
    source: Source,
    /// The file to write, NAME.png, NAME.npz, NAME.csv or NAME.parquet; `-` is standard output, as PNG
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Infer the latent variables from the first rows, shown in the first column of a picture, and vary
    /// only the class
    #[arg(long)]
    analogy: bool,
    /// Choose the class of a variable, by name or number, or the numbers of a given variable, separated by
    /// commas; repeat the option for several variables [default: every class]
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = set)]
    chosen: Vec<(String, String)>,
    /// The number of rows in the picture; in a table, the number of rows of each class
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<usize>, allow_negative_numbers = true)]
    lines: usize,
}

impl Sample {
    pub fn run(self) -> Result<()> {
        let run = self
            .source
            .open_for(&self.output, &["png", "npz", "csv", "parquet"])?;
        let rows = self.analogy.then(|| self.source.rows(&run)).transpose()?;
        let is_table = ["npz", "csv", "parquet"].map(Some).contains(
            &self
                .output
                .extension()
                .and_then(|extension| extension.to_str()),
        );
        let samples = run.sample(&SampleOptions {
            lines: self.lines,
            analogy: rows,
            chosen: self.chosen,
            columns: is_table.then_some(1),
            seed: self.source.seed,
        })?;
        if is_table {
            samples.table().write(&self.output)?;
            let rows = samples.lines * samples.columns;
            return print_written(&format!("{rows} rows"), &self.output);
        }
        write_output(&self.output, &samples.png()?)?;
        let what = format!("{} × {} images", samples.lines, samples.across());
        print_written(&what, &self.output)
    }
}
