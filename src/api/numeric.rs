//! Predictions of numeric labels, and how good they are.

use serde_json::{Value, json};
use std::fmt;

/// The prediction of a numeric label: its mean and standard deviation under q, in the units of the data.
#[derive(Clone, Debug)]
pub struct NumericPrediction {
    /// The label's name.
    pub label: String,
    /// The numbers of a row.
    pub width: usize,
    /// Means with axes row, feature.
    pub means: Vec<f32>,
    /// Standard deviations with axes row, feature.
    pub deviations: Vec<f32>,
    /// The true numbers of each row, NaN where they are unknown; empty if the rows have no such label.
    pub truth: Vec<f32>,
}

impl PartialEq for NumericPrediction {
    /// Unknown numbers are equal.
    fn eq(&self, other: &Self) -> bool {
        let bits = |numbers: &[f32]| -> Vec<u32> { numbers.iter().map(|x| x.to_bits()).collect() };
        (&self.label, self.width, &self.means, &self.deviations)
            == (&other.label, other.width, &other.means, &other.deviations)
            && bits(&self.truth) == bits(&other.truth)
    }
}

impl NumericPrediction {
    /// The prediction of several models: the mean and the standard deviation of the mixture of theirs with
    /// equal weights.
    ///
    /// # Panics
    /// If there are none.
    pub(super) fn mixture(members: &[&NumericPrediction]) -> Self {
        let first = *members.first().expect("an ensemble has a run");
        let count = members.len() as f64;
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for at in 0..first.means.len() {
            let each = |of: fn(&NumericPrediction) -> &Vec<f32>| {
                members.iter().map(move |member| f64::from(of(member)[at]))
            };
            let mean = each(|member| &member.means).sum::<f64>() / count;
            let squares = each(|member| &member.means)
                .zip(each(|member| &member.deviations))
                .map(|(member, deviation)| (member - mean).powi(2) + deviation * deviation);
            means.push(mean as f32);
            deviations.push((squares.sum::<f64>() / count).sqrt() as f32);
        }
        NumericPrediction {
            means,
            deviations,
            ..first.clone()
        }
    }

    /// The names of the columns of its numbers: `y`, or `y0`, `y1`, … for several.
    pub(super) fn columns(&self, prefix: &str) -> Vec<String> {
        let label = &self.label;
        match self.width {
            1 => vec![format!("{prefix}{label}")],
            width => (0..width)
                .map(|feature| format!("{prefix}{label}{feature}"))
                .collect(),
        }
    }
}

/// The scores of a numeric label on the rows with that label. The definitions are those of scikit-learn,
/// whose names are in brackets; each number of a row counts by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NumericScores {
    /// The label's name.
    pub label: String,
    /// The number of these rows.
    pub rows: usize,
    /// The root of the mean squared error (`root_mean_squared_error`).
    pub rmse: f64,
    /// The mean absolute error (`mean_absolute_error`).
    pub mean_absolute_error: f64,
    /// 1 − squared error / squared deviation from the mean (`r2_score`), the mean over features. `None` if
    /// a feature is the same in all rows.
    pub r2: Option<f64>,
    /// The fraction of true numbers within 1.96 predicted deviations of the mean: about 0.95 if the
    /// deviations are right and errors normal.
    pub coverage: f64,
}

impl NumericScores {
    /// The scores of a prediction; `None` if no row has true numbers.
    pub fn of(prediction: &NumericPrediction) -> Option<Self> {
        let NumericPrediction { width, truth, .. } = prediction;
        let known: Vec<usize> = (0..truth.len()).filter(|&at| !truth[at].is_nan()).collect();
        if known.is_empty() {
            return None;
        }
        let errors = known
            .iter()
            .map(|&at| f64::from(prediction.means[at]) - f64::from(truth[at]));
        let errors: Vec<f64> = errors.collect();
        let count = known.len() as f64;
        let within = known
            .iter()
            .zip(&errors)
            .filter(|(at, error)| error.abs() <= 1.96 * f64::from(prediction.deviations[**at]));
        Some(NumericScores {
            label: prediction.label.clone(),
            rows: known.len() / width,
            rmse: (errors.iter().map(|error| error * error).sum::<f64>() / count).sqrt(),
            mean_absolute_error: errors.iter().map(|error| error.abs()).sum::<f64>() / count,
            r2: r2(prediction, &known),
            coverage: within.count() as f64 / count,
        })
    }

    /// Adds the scores to a JSON object.
    pub(super) fn add_to(&self, json: &mut Value) {
        json[format!("scores of {}", self.label)] = json!({
            "rows": self.rows,
            "RMSE": self.rmse,
            "mean absolute error": self.mean_absolute_error,
            "R2": self.r2,
            "coverage": self.coverage,
        });
    }
}

/// The coefficient of determination, the mean over features.
fn r2(prediction: &NumericPrediction, known: &[usize]) -> Option<f64> {
    let NumericPrediction { width, truth, .. } = prediction;
    let mut sum = 0.0;
    for feature in 0..*width {
        let rows = || known.iter().filter(|at| *at % width == feature);
        let count = rows().count() as f64;
        let mean = rows().map(|&at| f64::from(truth[at])).sum::<f64>() / count;
        let spread: f64 = rows()
            .map(|&at| (f64::from(truth[at]) - mean).powi(2))
            .sum();
        let error: f64 = rows()
            .map(|&at| (f64::from(prediction.means[at]) - f64::from(truth[at])).powi(2))
            .sum();
        if spread == 0.0 {
            return None;
        }
        sum += 1.0 - error / spread;
    }
    Some(sum / *width as f64)
}

impl fmt::Display for NumericScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RMSE of {}: {:.4}", self.label, self.rmse)?;
        write!(f, ", mean absolute error {:.4}", self.mean_absolute_error)?;
        if let Some(r2) = self.r2 {
            write!(f, ", R² {r2:.4}")?;
        }
        writeln!(f, ", {:.1} % within 1.96 deviations", 100.0 * self.coverage)
    }
}
