//! An ensemble: the predictions of several runs, averaged.

use super::{
    evaluation::{Evaluation, LabelScores, Prediction, Predictions},
    numeric::{NumericPrediction, NumericScores},
    run::Run,
    seeds::{SeedSpread, Seeds},
    selection::{DataPart, Rows},
};
use crate::{
    backend::Device,
    error::{Error, Result},
    run::{data::Dataset, folder::CheckpointChoice},
};
use serde_json::{Value, json};
use std::{fmt, path::Path};

/// Runs whose class probabilities are averaged. Their models may differ, but not their labels.
///
/// The average of several runs has usually a lower error than one of them, above all with few labels.
pub struct Ensemble {
    runs: Vec<Run>,
}

impl Ensemble {
    /// The runs of a folder that [`Seeds::begin`] made, on a device.
    ///
    /// # Errors
    /// If a run is missing or cannot be read.
    pub fn open_on(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let seeds = Seeds::open(folder)?;
        let runs = seeds
            .run_folders()
            .map(|folder| Run::open_on(folder, device));
        Self::new(runs.collect::<Result<_>>()?)
    }

    /// An ensemble of opened runs.
    ///
    /// # Errors
    /// If there are no runs, or they have different labels or names of classes.
    pub fn new(runs: Vec<Run>) -> Result<Self> {
        let Some(first) = runs.first() else {
            return Err(Error::usage("expected at least one run, found none")
                .help("give the runs whose predictions are averaged"));
        };
        let labels = |run: &Run| -> Vec<(String, usize)> {
            let labels = run.model().labels();
            labels
                .map(|label| (label.name.clone(), label.size()))
                .collect()
        };
        let differs =
            |run: &&Run| labels(run) != labels(first) || run.class_names() != first.class_names();
        if let Some(other) = runs.iter().find(differs) {
            let message = format!(
                "{}: the run has other labels or classes than {}",
                other.folder().display(),
                first.folder().display()
            );
            return Err(Error::data(message).help("average runs with the same labels"));
        }
        Ok(Ensemble { runs })
    }

    /// The runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The runs, to be members of another ensemble.
    pub fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    /// Changes every run, for example its number of samples with [`Run::with_samples`].
    pub fn map(self, change: impl FnMut(Run) -> Run) -> Self {
        Ensemble {
            runs: self.runs.into_iter().map(change).collect(),
        }
    }

    /// As [`Run::with_checkpoint`], for every run.
    pub fn with_checkpoint(self, checkpoint: CheckpointChoice) -> Self {
        self.map(|run| run.with_checkpoint(checkpoint))
    }

    fn first(&self) -> &Run {
        self.runs.first().expect("an ensemble has a run")
    }

    /// Rows of the data set that the runs were trained on, as [`Run::rows`].
    ///
    /// # Errors
    /// As [`Run::rows`], and if the runs were trained on different data, or each held out other
    /// training rows, so that some runs were trained on what others hold out.
    pub fn rows(&self, part: Option<DataPart>) -> Result<Rows> {
        let first = self.first();
        if let Some(other) = self.runs.iter().find(|run| !run.has_data_of(first)) {
            let message = format!(
                "{}: the run was trained on other data than {}",
                other.folder().display(),
                first.folder().display()
            );
            return Err(Error::data(message).help("name the rows' data set"));
        }
        let rows = first.rows(part)?;
        if rows.part() == Some(DataPart::Test) || self.runs.iter().all(|run| run.splits_as(first)) {
            return Ok(rows);
        }
        let part = rows.part().map_or(String::new(), |part| part.to_string());
        let message =
            "the runs differ in the rows that they hold out, so some were trained on these";
        Err(Error::option("part", part, message).help(
            "use test rows, or another data set; runs hold out the same rows if the data set marks \
             its validation rows",
        ))
    }

    /// Reads another data set, as [`Run::open_data`].
    ///
    /// # Errors
    /// As [`Run::open_data`].
    pub fn open_data(&self, source: impl AsRef<Path>) -> Result<Dataset> {
        self.first().open_data(source)
    }

    /// Rows of another data set, as [`Run::rows_of`].
    ///
    /// # Errors
    /// As [`Run::rows_of`].
    pub fn rows_of(&self, dataset: &Dataset, part: Option<DataPart>) -> Result<Rows> {
        self.first().rows_of(dataset, part)
    }

    /// The mean over the runs of the class probabilities of each class label, and of the distributions of
    /// each numeric label.
    ///
    /// # Errors
    /// As [`Run::predict`].
    pub fn predict(&self, rows: &Rows) -> Result<Predictions> {
        let all = self.runs.iter().map(|run| run.predict(rows));
        let all: Vec<Predictions> = all.collect::<Result<_>>()?;
        let labels = all[0].labels.iter().enumerate();
        let labels = labels.map(|(at, first)| {
            let members: Vec<&[f32]> = all
                .iter()
                .map(|found| &found.labels[at].probabilities[..])
                .collect();
            Prediction {
                probabilities: means(&members),
                ..first.clone()
            }
        });
        let numbers = (0..all[0].numbers.len()).map(|at| {
            let members: Vec<&NumericPrediction> =
                all.iter().map(|found| &found.numbers[at]).collect();
            NumericPrediction::mixture(&members)
        });
        Ok(Predictions {
            labels: labels.collect(),
            numbers: numbers.collect(),
        })
    }

    /// Evaluates the ensemble and each of its runs.
    ///
    /// # Errors
    /// As [`Run::evaluate`].
    pub fn evaluate(&self, rows: &Rows) -> Result<EnsembleEvaluation> {
        let members = self.runs.iter().map(|run| run.evaluate(rows));
        let members: Vec<Evaluation> = members.collect::<Result<_>>()?;
        let mut members_with_labels = members.iter();
        let has_labels = members_with_labels
            .any(|member| !member.labels.is_empty() || !member.numbers.is_empty());
        let (labels, numbers) = match has_labels {
            true => {
                let found = self.predict(rows)?;
                let labels = found.labels.iter().filter_map(LabelScores::of);
                let numbers = found.numbers.iter().filter_map(NumericScores::of);
                (labels.collect(), numbers.collect())
            }
            false => (Vec::new(), Vec::new()),
        };
        Ok(EnsembleEvaluation {
            part: rows.part(),
            rows: rows.len(),
            labels,
            numbers,
            members,
        })
    }
}

/// The mean over several arrays of the same length, element by element.
fn means(arrays: &[&[f32]]) -> Vec<f32> {
    let mean = |element: usize| {
        let sum: f64 = arrays.iter().map(|array| f64::from(array[element])).sum();
        (sum / arrays.len() as f64) as f32
    };
    (0..arrays[0].len()).map(mean).collect()
}

/// How good an ensemble is, and each of its runs. `Display` prints it for people.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleEvaluation {
    /// The part of the data set that the rows come from.
    pub part: Option<DataPart>,
    /// The number of rows.
    pub rows: usize,
    /// The scores of the averaged probabilities of each label that occurs in the rows.
    pub labels: Vec<LabelScores>,
    /// The scores of the mixture of the distributions of each numeric label that occurs in the rows.
    pub numbers: Vec<NumericScores>,
    /// The evaluation of each run.
    pub members: Vec<Evaluation>,
}

impl EnsembleEvaluation {
    /// The mean and the standard deviation over the runs of a number of their evaluations.
    pub fn spread(&self, of: impl Fn(&Evaluation) -> Option<f64>) -> Option<SeedSpread> {
        let numbers: Vec<f64> = self.members.iter().filter_map(of).collect();
        SeedSpread::of(&numbers)
    }

    /// The evaluation as JSON, with the scores of the ensemble and the evaluations of its runs.
    pub fn to_json(&self) -> Value {
        let part = self.part.map(|part| part.to_string());
        let mut json = json!({ "part": part, "rows": self.rows, "runs": self.members.len() });
        for label in &self.labels {
            label.add_to(&mut json);
        }
        for label in &self.numbers {
            label.add_to(&mut json);
        }
        json["members"] = self.members.iter().map(Evaluation::to_json).collect();
        json
    }

    /// The error of a label of a run.
    fn error_of(member: &Evaluation, label: &str) -> Option<f64> {
        let mut labels = member.labels.iter();
        let found = labels.find(|found| found.label == label)?;
        Some(100.0 * found.scores.error)
    }
}

impl fmt::Display for EnsembleEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = self.part.map_or(String::new(), |part| format!("{part} "));
        let count = self.members.len();
        writeln!(f, "{} {part}rows, {count} runs", self.rows)?;
        writeln!(f, "each run: mean ± standard deviation, nats per row")?;
        for (name, title) in [("bound", "bound"), ("likelihood", "log-likelihood")] {
            if let Some(spread) = self.spread(|member| member.means.get(name)) {
                writeln!(f, "  {title}: {spread}")?;
            }
        }
        for label in &self.labels {
            let spread = self.spread(|member| Self::error_of(member, &label.label));
            if let Some(spread) = spread {
                writeln!(f, "  error of {}: {spread} %", label.label)?;
            }
        }
        for label in &self.numbers {
            let of = |member: &Evaluation| {
                let mut numbers = member.numbers.iter();
                let found = numbers.find(|found| found.label == label.label)?;
                Some(found.rmse)
            };
            if let Some(spread) = self.spread(of) {
                writeln!(f, "  RMSE of {}: {spread}", label.label)?;
            }
        }
        if !self.labels.is_empty() || !self.numbers.is_empty() {
            writeln!(f, "all runs, their predictions averaged")?;
        }
        for label in &self.labels {
            label.fmt_with_confusion(f)?;
        }
        self.numbers
            .iter()
            .try_for_each(|label| write!(f, "{label}"))
    }
}
