//! Calibration of class probabilities by a temperature (Guo et al. 2017), and the file that keeps it.
//!
//! Calibrated probabilities are proportional to p^(1/T). A temperature above 1 makes predictions less
//! certain, and none changes which class is the most probable. A temperature is that of the least mean
//! of −log of the true class's probability, over rows that training did not see.

use super::{classification::ClassScores, fields::Fields, settings::RESTORE};
use crate::{
    error::{Error, Result},
    files::{self, MOST_TEXT, hash_of_parts, write_whole},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt, path::Path};

/// The range of temperatures.
const RANGE: (f64, f64) = (0.01, 100.0);
/// The format of the file.
const FORMAT: u64 = 1;
/// What precedes the digits of the checksum in the file.
const BEFORE_CHECKSUM: &[u8] = b"\"checksum\": \"";
/// The number of digits of a checksum.
const DIGITS: usize = 64;
/// The way out if a calibration cannot be used.
const AGAIN: &str =
    "fit it again with `Run::calibrate`, or use the run with the option `uncalibrated`";

/// The temperatures of a run's labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The temperature of each label, by its name.
    pub labels: BTreeMap<String, Temperature>,
    /// The number of samples per row.
    pub samples: usize,
    /// The rows that it was fitted on, such as `validation`, for people.
    pub rows: String,
}

/// The temperature of a label, and what it changes on the rows that it was fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// The temperature T, from 0.01 to 100.
    pub temperature: f64,
    /// The number of labelled rows that it was fitted on.
    pub rows: usize,
    /// The mean of −log of the probability of the true class, in nats, without and with calibration.
    pub log_loss: (f64, f64),
    /// The expected calibration error, see [`ClassScores`], without and with calibration.
    pub calibration_error: (f64, f64),
}

impl Temperature {
    /// The temperature of the least log loss of `probabilities` (axes row, class) on the rows whose
    /// class in `truth` is known. `None` if there is none.
    pub fn fit(probabilities: &[f32], classes: usize, truth: &[i32]) -> Option<Self> {
        let before = ClassScores::new(probabilities, classes, truth)?;
        let temperature = least_loss(probabilities, classes, truth);
        let mut calibrated = probabilities.to_vec();
        apply(temperature, &mut calibrated, classes);
        let after = ClassScores::new(&calibrated, classes, truth)?;
        Some(Temperature {
            temperature,
            rows: before.rows,
            log_loss: (before.log_loss, after.log_loss),
            calibration_error: (before.calibration_error, after.calibration_error),
        })
    }

    /// Whether the temperature is at the limit of its range.
    pub fn is_at_limit(&self) -> bool {
        self.temperature <= RANGE.0 || self.temperature >= RANGE.1
    }
}

/// The logarithms of probabilities, which are at least 1.2·10⁻⁷, the resolution of f32.
fn logs(probabilities: &[f32]) -> impl Iterator<Item = f64> + Clone + '_ {
    let floor = f64::from(f32::EPSILON);
    probabilities
        .iter()
        .map(move |&p| f64::from(p).max(floor).ln())
}

/// The sum of the probabilities p^β with their logs weighted: Σ exp(β l) and Σ l exp(β l), both in
/// proportion to exp(β max l).
fn sums(probabilities: &[f32], beta: f64) -> (f64, f64) {
    let most = logs(probabilities).fold(f64::NEG_INFINITY, f64::max);
    logs(probabilities).fold((0.0, 0.0), |(total, weighted), log| {
        let power = (beta * (log - most)).exp();
        (total + power, weighted + log * power)
    })
}

/// The log loss is convex in β = 1/T: its derivative, the sum over rows of E[log p] − log p of the true
/// class, grows with β. So the least loss is found by bisection of log T.
fn least_loss(probabilities: &[f32], classes: usize, truth: &[i32]) -> f64 {
    let slope = |temperature: f64| -> f64 {
        let rows = probabilities.chunks_exact(classes).zip(truth);
        let known = rows.filter_map(|(row, &class)| Some((row, usize::try_from(class).ok()?)));
        known
            .map(|(row, class)| {
                let (total, weighted) = sums(row, temperature.recip());
                weighted / total - logs(&row[class..=class]).sum::<f64>()
            })
            .sum()
    };
    // Probabilities that are all equal have no best temperature.
    if slope(RANGE.0) == 0.0 && slope(RANGE.1) == 0.0 {
        return 1.0;
    }
    // A negative slope in β: the least loss has a larger β, a lower temperature. It is 0 at the lowest
    // temperature if every row is right, where rounding leaves no difference from a loss of 0.
    if slope(RANGE.0) <= 0.0 {
        return RANGE.0;
    }
    if slope(RANGE.1) >= 0.0 {
        return RANGE.1;
    }
    let (mut low, mut high) = (RANGE.0.ln(), RANGE.1.ln());
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match slope(middle.exp()) < 0.0 {
            true => high = middle,
            false => low = middle,
        }
    }
    (0.5 * (low + high)).exp()
}

/// Calibrates probabilities (axes row, class): each row becomes proportional to p^(1/T). A temperature
/// of 1 changes nothing.
pub fn apply(temperature: f64, probabilities: &mut [f32], classes: usize) {
    if temperature == 1.0 {
        return;
    }
    let beta = temperature.recip();
    for row in probabilities.chunks_exact_mut(classes) {
        let most = logs(row).fold(f64::NEG_INFINITY, f64::max);
        let (total, _) = sums(row, beta);
        let calibrated: Vec<f64> = logs(row)
            .map(|log| (beta * (log - most)).exp() / total)
            .collect();
        for (to, from) in row.iter_mut().zip(calibrated) {
            *to = from as f32;
        }
    }
}

impl Calibration {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged or changed, or belongs to another checkpoint than that
    /// with this checksum.
    pub fn read(path: &Path, checkpoint: &str) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let read = files::open(path).and_then(|file| files::read_at_most(file, MOST_TEXT));
        let bytes = read.map_err(|error| Error::file(path, "cannot be read", error))?;
        let mut fields = Fields::parse(path.display().to_string(), &bytes, RESTORE)?;
        let format: u64 = fields.take("format")?;
        if format != FORMAT {
            let message = format!("expected a calibration of format {FORMAT}, found {format}");
            return Err(fields.refused(message));
        }
        let checksum: String = fields.take("checksum")?;
        if !is_sealed(&bytes, &checksum) {
            let message = "the checksum is wrong, so the file was changed or damaged";
            return Err(fields.refused(message.to_string()).help(AGAIN));
        }
        let fitted: String = fields.take("checkpoint")?;
        if fitted != checkpoint {
            let message = "the calibration belongs to another checkpoint than the run's, which was \
                           trained further";
            return Err(fields.refused(message.to_string()).help(AGAIN));
        }
        let calibration = Calibration {
            labels: fields.take("labels")?,
            samples: fields.take("samples")?,
            rows: fields.take("rows")?,
        };
        fields.finish()?;
        Ok(Some(calibration))
    }

    /// Atomically writes the file, for the checkpoint with this checksum.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path, checkpoint: &str) -> Result<()> {
        let json = json!({
            "format": FORMAT,
            "checkpoint": checkpoint,
            "labels": self.labels,
            "samples": self.samples,
            "rows": self.rows,
            "checksum": "0".repeat(DIGITS),
        });
        let mut bytes = format!("{json:#}\n").into_bytes();
        let digits = files::hash(&bytes);
        let at = checksum_place(&bytes).expect("the file has the checksum's field");
        bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
        write_whole(path, &bytes)
    }

    /// The temperature of a label; 1 if it has none.
    pub fn temperature(&self, label: &str) -> f64 {
        self.labels
            .get(label)
            .map_or(1.0, |found| found.temperature)
    }

    /// The calibration as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "labels": self.labels, "samples": self.samples, "rows": self.rows })
    }
}

fn checksum_place(bytes: &[u8]) -> Option<usize> {
    let found = bytes
        .windows(BEFORE_CHECKSUM.len())
        .rposition(|window| window == BEFORE_CHECKSUM)?;
    let at = found + BEFORE_CHECKSUM.len();
    (at + DIGITS <= bytes.len()).then_some(at)
}

/// Whether a file's checksum is right.
fn is_sealed(bytes: &[u8], checksum: &str) -> bool {
    let Some(at) = checksum_place(bytes) else {
        return false;
    };
    let (before, rest) = bytes.split_at(at);
    let (digits, after) = rest.split_at(DIGITS);
    digits == checksum.as_bytes() && hash_of_parts(&[before, &[b'0'; DIGITS], after]) == checksum
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, found) in &self.labels {
            let (loss, error) = (found.log_loss, found.calibration_error);
            writeln!(
                f,
                "{label}: temperature {:.4}, fitted on {} {} rows",
                found.temperature, found.rows, self.rows
            )?;
            writeln!(
                f,
                "  log loss {:.4} nats, was {:.4}; calibration error {:.2} %, was {:.2} %",
                loss.1,
                loss.0,
                100.0 * error.1,
                100.0 * error.0
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Temperature, apply};
    use crate::{run::classification::ClassScores, tensor::philox};

    /// Probabilities and classes of rows that are certain beyond reason: p is proportional to the
    /// square of the probabilities that the classes are drawn with.
    fn overconfident(rows: usize, classes: usize) -> (Vec<f32>, Vec<i32>) {
        let stream = philox::stream("calibration");
        let (mut probabilities, mut truth) = (Vec::new(), Vec::new());
        for row in 0..rows as u64 {
            let normal = |k: u64| philox::normal(0, row, stream, k);
            let weights: Vec<f64> = (0..classes as u64)
                .map(|k| (1.5 * normal(k)).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            let mut left = philox::uniform(0, row, philox::stream("class"), 0) * total;
            let class = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            truth.push(class.map_or(classes as i32 - 1, |class| class as i32));
            let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
            probabilities.extend(
                weights
                    .iter()
                    .map(|weight| (weight * weight / squares) as f32),
            );
        }
        (probabilities, truth)
    }

    fn loss(temperature: f64, probabilities: &[f32], classes: usize, truth: &[i32]) -> f64 {
        let mut calibrated = probabilities.to_vec();
        apply(temperature, &mut calibrated, classes);
        let scores = ClassScores::new(&calibrated, classes, truth).expect("labelled rows");
        scores.log_loss
    }

    /// Against the least of the losses at many temperatures.
    #[test]
    fn the_temperature_has_the_least_loss() {
        for (rows, classes) in [(3000, 4), (500, 2)] {
            let (probabilities, mut truth) = overconfident(rows, classes);
            truth[7] = -1;
            let found = Temperature::fit(&probabilities, classes, &truth).expect("labelled rows");
            let grid = (0..4000).map(|k| 0.5 * (k as f64 * 5e-4).exp());
            let losses = grid.map(|t| (loss(t, &probabilities, classes, &truth), t));
            let (least, at) = losses
                .min_by(|left, right| left.0.total_cmp(&right.0))
                .expect("temperatures");
            assert!(
                (found.temperature / at - 1.0).abs() < 5e-3,
                "{found:?}, {at}"
            );
            assert!(found.log_loss.1 < least + 1e-7, "{found:?}, {least}");
            assert_eq!(found.rows, rows - 1);
            // The classes were drawn at temperature 2.
            assert!((found.temperature - 2.0).abs() < 0.25, "{found:?}");
            assert!(found.calibration_error.1 < 0.6 * found.calibration_error.0);
        }
    }

    #[test]
    fn extreme_rows_have_a_temperature() {
        // Every row is right, so that no temperature is low enough.
        let right = [0.9f32, 0.1, 0.2, 0.8];
        let found = Temperature::fit(&right, 2, &[0, 1]).expect("labelled rows");
        assert!(found.temperature == 0.01 && found.is_at_limit());
        // Every row is wrong.
        let found = Temperature::fit(&right, 2, &[1, 0]).expect("labelled rows");
        assert!(found.temperature == 100.0 && found.is_at_limit());
        // No row says anything.
        let found = Temperature::fit(&[0.5f32; 4], 2, &[1, 0]).expect("labelled rows");
        assert_eq!(found.temperature, 1.0);
        assert_eq!(Temperature::fit(&right, 2, &[-1, -1]), None);
        // Probabilities of 0 and 1.
        let found = Temperature::fit(&[1.0f32, 0.0, 1.0, 0.0, 0.0, 1.0], 2, &[0, 1, 1]);
        assert!(found.expect("labelled rows").temperature > 1.0);
    }
}
