//! What a run says of rows: bounds, errors, predictions and encodings.

use super::selection::DataPart;
use crate::{
    bound,
    model::Model,
    run::evaluate::{Inferred, likeliest, mean},
};
use serde_json::{Value, json};
use std::fmt;

/// The bound, its terms and the log-likelihood of rows, and the errors of their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The part of the data set that the rows are.
    pub part: Option<DataPart>,
    /// The number of rows.
    pub rows: usize,
    /// Samples of each row.
    pub samples: usize,
    /// Means over all rows, labels unseen; empty for a classifier, which has no bound.
    pub means: Means,
    /// The rows that have every label, and the means over them with the labels seen.
    pub labelled: Option<(usize, Means)>,
    /// The active units of each latent.
    pub latents: Vec<Latents>,
    /// The errors of each label that some row has.
    pub labels: Vec<LabelErrors>,
}

/// Mean numbers of a row in nats, by name: `bound`, its terms, `likelihood`. As text: the bound
/// first, then its terms as mathematics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Means {
    /// In the order of their names.
    means: Vec<(String, f64)>,
    /// As text shows them: titles, and places among the means.
    titles: Vec<(String, usize)>,
}

impl Means {
    /// The means of what is one number a row.
    pub(super) fn new(model: &Model, inferred: &Inferred) -> Self {
        let titles = bound::titles(model);
        let mut shown: Vec<(usize, String, usize)> = Vec::new();
        let mut means = Vec::new();
        for (name, values) in inferred.iter().filter(|(name, _)| name.is_number_per_row()) {
            let position = titles.iter().position(|(titled, _)| titled == name);
            let title = position.map_or_else(|| name.to_string(), |at| titles[at].1.clone());
            shown.push((position.unwrap_or(titles.len()), title, means.len()));
            means.push((name.to_string(), mean(values)));
        }
        shown.sort_by_key(|(position, ..)| *position);
        let titles = shown.into_iter().map(|(_, title, at)| (title, at));
        Means {
            means,
            titles: titles.collect(),
        }
    }

    /// The mean of a name, as JSON has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter()
            .find(|(found, _)| *found == name)
            .map(|(_, mean)| mean)
    }

    /// Every name, as JSON has it, with its mean.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.means.iter().map(|(name, mean)| (name.as_str(), *mean))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.titles.iter().map(|(title, _)| title.chars().count());
        let width = widths.max().unwrap_or(0).max(20);
        self.titles
            .iter()
            .try_for_each(|(title, at)| writeln!(f, "  {title:width$} {:12.4}", self.means[*at].1))
    }
}

/// How many units of a latent tell rows apart (Burda et al. 2016).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latents {
    /// The latent's name.
    pub name: String,
    /// Units whose posterior mean has a variance over the rows above 0.01.
    pub active: usize,
    /// All units.
    pub units: usize,
}

/// The errors of a label on the rows that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelErrors {
    /// The label's name.
    pub label: String,
    /// The fraction of rows whose class is predicted wrongly.
    pub error: f64,
    /// Rows by true class (first index) and predicted class.
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// The evaluation as JSON.
    pub fn to_json(&self) -> Value {
        let part = self.part.map(|part| part.to_string());
        let mut json = json!({ "part": part, "rows": self.rows, "samples": self.samples });
        for (name, mean) in self.means.iter() {
            json[name] = mean.into();
        }
        if let Some((rows, means)) = &self.labelled {
            json["labelled"]["rows"] = (*rows).into();
            for (name, mean) in means.iter() {
                json["labelled"][name] = mean.into();
            }
        }
        for latent in &self.latents {
            json["units"][&latent.name] = json!({ "active": latent.active, "of": latent.units });
        }
        for label in &self.labels {
            json[format!("error of {}", label.label)] = label.error.into();
            json[format!("confusion of {}", label.label)] = json!(label.confusion);
        }
        json
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = self.part.map_or(String::new(), |part| format!("{part} "));
        write!(f, "{} {part}rows, {} samples each", self.rows, self.samples)?;
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
            writeln!(f, "labels unseen")?;
        }
        write!(f, "{}", self.means)?;
        if let Some((rows, means)) = &self.labelled {
            writeln!(f, "labels seen, on the {rows} rows that have them")?;
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
            writeln!(f, "error of {}: {:.2} %", label.label, 100.0 * label.error)?;
            writeln!(f, "rows: true class; columns: predicted")?;
            for (class, line) in label.confusion.iter().enumerate() {
                let counts: Vec<String> = line.iter().map(|count| format!("{count:5}")).collect();
                writeln!(f, "  {class:3} {}", counts.join(" "))?;
            }
        }
        Ok(())
    }
}

/// Rows by true class (first index) and predicted class.
pub(super) fn confusion(predicted: &[usize], classes: &[i32], count: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; count]; count];
    for (predicted, class) in predicted.iter().zip(classes) {
        if let Ok(class) = usize::try_from(*class) {
            counts[class][*predicted] += 1;
        }
    }
    counts
}

/// The probabilities of a label's classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The label's name.
    pub label: String,
    /// The number of classes.
    pub classes: usize,
    /// With axes row, class: the classes of a row follow each other, and sum to 1.
    pub probabilities: Vec<f32>,
}

impl Prediction {
    /// The probabilities of one row's classes.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.probabilities[row * self.classes..(row + 1) * self.classes]
    }

    /// The likeliest class of each row.
    pub fn likeliest(&self) -> Vec<usize> {
        likeliest(&self.probabilities, self.classes)
    }
}

/// The probabilities of every label of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// In the order of the model's labels.
    pub labels: Vec<Prediction>,
}

impl Predictions {
    /// The probabilities of one label.
    pub fn get(&self, label: &str) -> Option<&Prediction> {
        self.labels.iter().find(|found| found.label == label)
    }
}

/// What a run infers of every latent and label.
#[derive(Clone, Debug, PartialEq)]
pub struct Encodings {
    /// By name.
    pub variables: Vec<Encoding>,
}

impl Encodings {
    /// What is inferred of one variable.
    pub fn get(&self, variable: &str) -> Option<&Encoding> {
        self.variables
            .iter()
            .find(|found| found.variable == variable)
    }
}

/// What a run infers of a variable for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// The latent's or label's name.
    pub variable: String,
    /// Numbers of a row: the latent's features, or the label's classes.
    pub width: usize,
    /// With axes row, feature: posterior means, or the probabilities of classes.
    pub values: Vec<f32>,
}
