//! Results of a run on rows: bounds, label errors, predictions and encodings.

use super::{
    numeric::{NumericPrediction, NumericScores},
    selection::DataPart,
};
use crate::{
    bound,
    model::Model,
    note::Note,
    run::{
        classification::ClassScores,
        evaluate::{HeadAtLimit, Scored, likeliest, mean},
    },
};
use serde_json::{Value, json};
use std::fmt;

/// The bound, its terms, the log-likelihood and the label errors of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The part of the data set that the rows come from.
    pub part: Option<DataPart>,
    /// The number of rows.
    pub rows: usize,
    /// The number of samples per row.
    pub samples: usize,
    /// Means over all rows with labels hidden; empty for a classifier, which has no bound.
    pub means: Means,
    /// The number of fully labelled rows, and the means over them with labels observed.
    pub labelled: Option<(usize, Means)>,
    /// The active units of each latent variable.
    pub latents: Vec<Latents>,
    /// The scores of each class label that occurs in the rows.
    pub labels: Vec<LabelScores>,
    /// The scores of each numeric label that occurs in the rows.
    pub numbers: Vec<NumericScores>,
    /// The heads with values at the limits of their ranges.
    pub at_limit: Vec<HeadAtLimit>,
}

/// Means over rows, in nats, by name: `bound`, its terms, `likelihood`. `Display` prints the bound
/// first, then its terms as mathematics.
///
/// Those of binary data are of bits. If the data are greys, the means of the greys stand beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Means {
    /// JSON names and means, in the order of the names.
    means: Vec<(String, f64)>,
    /// The means on greys, in the same order; empty if all binary data are bits.
    on_greys: Vec<f64>,
    /// Titles for people, each with the index of its mean, in the order of display.
    titles: Vec<(String, usize)>,
}

impl Means {
    /// The means of all values that have one number per row.
    pub(super) fn new(model: &Model, scored: &Scored) -> Self {
        let titles = bound::titles(model);
        let mut shown: Vec<(usize, String, usize)> = Vec::new();
        let mut means = Vec::new();
        let mut on_greys = Vec::new();
        for (name, values) in scored
            .inferred
            .iter()
            .filter(|(name, _)| name.is_number_per_row())
        {
            let position = titles.iter().position(|(titled, _)| titled == name);
            let title = position.map_or_else(|| name.to_string(), |at| titles[at].1.clone());
            shown.push((position.unwrap_or(titles.len()), title, means.len()));
            means.push((name.to_string(), mean(values)));
            on_greys.extend(scored.on_greys.get(name).map(|greys| mean(greys)));
        }
        shown.sort_by_key(|(position, ..)| *position);
        let titles = shown.into_iter().map(|(_, title, at)| (title, at));
        Means {
            means,
            on_greys,
            titles: titles.collect(),
        }
    }

    /// The mean with this JSON name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter()
            .find(|(found, _)| *found == name)
            .map(|(_, mean)| mean)
    }

    /// The mean with this JSON name on greys; `None` if all binary data are bits.
    pub fn on_greys(&self, name: &str) -> Option<f64> {
        let at = self.means.iter().position(|(found, _)| found == name)?;
        self.on_greys.get(at).copied()
    }

    /// Adds every mean to a JSON object, and those on greys to the object `greys` within it.
    fn add_to(&self, json: &mut Value) {
        for (name, mean) in self.iter() {
            json[name] = mean.into();
            if let Some(mean) = self.on_greys(name) {
                json["greys"][name] = mean.into();
            }
        }
    }

    /// Every JSON name with its mean.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.means.iter().map(|(name, mean)| (name.as_str(), *mean))
    }

    /// Whether there are no means.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.titles.iter().map(|(title, _)| title.chars().count());
        let width = widths.max().unwrap_or(0).max(20);
        if !self.on_greys.is_empty() {
            writeln!(f, "  {:width$} {:>12} {:>12}", "", "bits", "greys")?;
        }
        self.titles.iter().try_for_each(|(title, at)| {
            write!(f, "  {title:width$} {:12.4}", self.means[*at].1)?;
            match self.on_greys.get(*at) {
                Some(greys) => writeln!(f, " {greys:12.4}"),
                None => writeln!(f),
            }
        })
    }
}

/// The active units of a latent variable (Burda et al. 2016).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latents {
    /// The name of the latent variable.
    pub name: String,
    /// The number of units whose posterior mean has a variance above 0.01 over the rows.
    pub active: usize,
    /// The number of units.
    pub units: usize,
}

/// The scores of a label on the rows with that label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelScores {
    /// The label's name.
    pub label: String,
    /// The error, and other scores of the predicted probabilities.
    pub scores: ClassScores,
    /// The names of the classes; empty if they have none.
    pub names: Vec<String>,
    /// The confusion matrix: counts of rows with axes true class, predicted class. Empty for a label
    /// of more than 1,000 classes.
    pub confusion: Vec<Vec<usize>>,
    /// The temperature that calibrates the probabilities; `None` if the run has no calibration.
    pub temperature: Option<f64>,
}

impl Evaluation {
    /// Notes about the result: the heads with values at the limits of their ranges.
    pub fn notes(&self) -> Vec<Note> {
        self.at_limit.iter().map(HeadAtLimit::note).collect()
    }

    /// The evaluation as JSON.
    pub fn to_json(&self) -> Value {
        let part = self.part.map(|part| part.to_string());
        let mut json = json!({ "part": part, "rows": self.rows, "samples": self.samples });
        self.means.add_to(&mut json);
        if let Some((rows, means)) = &self.labelled {
            json["labelled"]["rows"] = (*rows).into();
            means.add_to(&mut json["labelled"]);
        }
        for HeadAtLimit { head, share } in &self.at_limit {
            json["at_limit"][head] = (*share).into();
        }
        for latent in &self.latents {
            json["units"][&latent.name] = json!({ "active": latent.active, "of": latent.units });
        }
        for label in &self.labels {
            label.add_to(&mut json);
        }
        for label in &self.numbers {
            label.add_to(&mut json);
        }
        json
    }
}

impl LabelScores {
    /// The scores of a prediction; `None` if no row has a true class.
    pub fn of(prediction: &Prediction) -> Option<Self> {
        let Prediction {
            probabilities,
            classes,
            truth,
            ..
        } = prediction;
        Some(LabelScores {
            label: prediction.label.clone(),
            scores: ClassScores::new(probabilities, *classes, truth)?,
            names: prediction.names.clone(),
            confusion: confusion(&prediction.likeliest(), truth, *classes),
            temperature: None,
        })
    }

    /// Adds the scores to a JSON object.
    pub(super) fn add_to(&self, json: &mut Value) {
        let scores = &self.scores;
        json[format!("error of {}", self.label)] = scores.error.into();
        json[format!("scores of {}", self.label)] = json!({
            "rows": scores.rows,
            "classes": self.names,
            "rows of classes": scores.counts,
            "balanced error": scores.balanced_error,
            "macro F1": scores.macro_f1,
            "AUC": scores.auc,
            "log loss": scores.log_loss,
            "calibration error": scores.calibration_error,
            "temperature": self.temperature,
        });
        if !self.confusion.is_empty() {
            json[format!("confusion of {}", self.label)] = json!(self.confusion);
        }
    }

    /// Prints the scores and the confusion matrix.
    pub(super) fn fmt_with_confusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if self.confusion.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "confusion matrix (rows: true class, columns: predicted class)"
        )?;
        let names = (0..self.confusion.len()).map(|class| class_name(&self.names, class));
        let names: Vec<String> = names.collect();
        let width = names.iter().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0).max(3);
        for ((name, line), rows) in names.iter().zip(&self.confusion).zip(&self.scores.counts) {
            let counts: Vec<String> = line.iter().map(|count| format!("{count:5}")).collect();
            writeln!(f, "  {name:>width$} {} of {rows} rows", counts.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for LabelScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scores = &self.scores;
        writeln!(f, "error of {}: {:.2} %", self.label, 100.0 * scores.error)?;
        write!(f, "  balanced error {:.2} %", 100.0 * scores.balanced_error)?;
        write!(f, ", macro F1 {:.4}", scores.macro_f1)?;
        if let Some(auc) = scores.auc {
            write!(f, ", AUC {auc:.4}")?;
        }
        write!(f, ", log loss {:.4} nats", scores.log_loss)?;
        writeln!(
            f,
            ", calibration error {:.2} %",
            100.0 * scores.calibration_error
        )?;
        match self.temperature {
            Some(temperature) => writeln!(f, "  calibrated with temperature {temperature:.4}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = self.part.map_or(String::new(), |part| format!("{part} "));
        write!(
            f,
            "{} {part}rows, {} samples per row",
            self.rows, self.samples
        )?;
        writeln!(
            f,
            "{}",
            if self.means.is_empty() {
                ""
            } else {
                ", nats per row"
            }
        )?;
        if self.labelled.is_some() {
            writeln!(f, "with labels hidden")?;
        }
        write!(f, "{}", self.means)?;
        if let Some((rows, means)) = &self.labelled {
            writeln!(f, "with labels observed, on the {rows} labelled rows")?;
            write!(f, "{means}")?;
        }
        for Latents {
            name,
            active,
            units,
        } in &self.latents
        {
            writeln!(f, "{name}: {active} of {units} units active")?;
        }
        for label in &self.labels {
            label.fmt_with_confusion(f)?;
        }
        self.numbers
            .iter()
            .try_for_each(|label| write!(f, "{label}"))
    }
}

/// The name of a class, or its number if it has none.
pub(super) fn class_name(names: &[String], class: usize) -> String {
    names
        .get(class)
        .cloned()
        .unwrap_or_else(|| class.to_string())
}

/// The most classes of a label with a confusion matrix, whose size is the square of them.
const MOST_CONFUSED: usize = 1000;

/// The confusion matrix: counts of rows with axes true class, predicted class. Empty for too many
/// classes.
pub(super) fn confusion(predicted: &[usize], classes: &[i32], count: usize) -> Vec<Vec<usize>> {
    if count > MOST_CONFUSED {
        return Vec::new();
    }
    let mut counts = vec![vec![0; count]; count];
    for (predicted, class) in predicted.iter().zip(classes) {
        if let Ok(class) = usize::try_from(*class) {
            counts[class][*predicted] += 1;
        }
    }
    counts
}

/// The class probabilities of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The label's name.
    pub label: String,
    /// The number of classes.
    pub classes: usize,
    /// Probabilities with axes row, class; each row sums to 1.
    pub probabilities: Vec<f32>,
    /// The true class of each row, −1 where it is unknown; empty if the rows have no such label.
    pub truth: Vec<i32>,
    /// The names of the classes in the data that the run was trained on; empty if they have none.
    pub names: Vec<String>,
}

impl Prediction {
    /// The class probabilities of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        let rows = self.probabilities.len() / self.classes;
        assert!(row < rows, "expected a row below {rows}, found {row}");
        &self.probabilities[row * self.classes..(row + 1) * self.classes]
    }

    /// The most probable class of each row.
    pub fn likeliest(&self) -> Vec<usize> {
        likeliest(&self.probabilities, self.classes)
    }
}

/// The predictions of every label of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// One prediction for each class label, in the model's order.
    pub labels: Vec<Prediction>,
    /// One prediction for each numeric label, in the model's order.
    pub numbers: Vec<NumericPrediction>,
}

impl Predictions {
    /// The class probabilities of the label with this name.
    pub fn get(&self, label: &str) -> Option<&Prediction> {
        self.labels.iter().find(|found| found.label == label)
    }

    /// The prediction of the numeric label with this name.
    pub fn number(&self, label: &str) -> Option<&NumericPrediction> {
        self.numbers.iter().find(|found| found.label == label)
    }
}

/// The encodings of every latent variable and label.
#[derive(Clone, Debug, PartialEq)]
pub struct Encodings {
    /// One encoding for each variable, sorted by name.
    pub variables: Vec<Encoding>,
}

impl Encodings {
    /// The encoding of the variable with this name.
    pub fn get(&self, variable: &str) -> Option<&Encoding> {
        self.variables
            .iter()
            .find(|found| found.variable == variable)
    }
}

/// The encoding of a variable for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// The name of the latent variable or label.
    pub variable: String,
    /// Values per row: the number of features of a latent variable, or of classes of a label.
    pub width: usize,
    /// The names of these values in a table.
    pub columns: Vec<String>,
    /// Posterior means with axes row, feature, or class probabilities with axes row, class.
    pub values: Vec<f32>,
}
