//! Inference on all rows of a source, batch by batch: bounds, predictions and latent variables.

use super::{
    data::{Bits, Source, check_field},
    row_keys::RowHash,
    session::{Loaded, Session},
};
use crate::{
    backend::{Build, NoiseKey},
    bound::Case,
    distribution::LOG_BOUND,
    error::Result,
    model::{Model, Variable},
    names::{InputName, OutputName},
    note::Note,
    plan::Buffer,
    tensor::{AxisKind, philox},
};
use std::collections::BTreeMap;

/// The program that infers a batch of rows of one case.
pub struct Evaluator {
    loaded: Loaded,
    rows: usize,
    /// The outputs, with the number of floats per row.
    outputs: Vec<(OutputName, usize)>,
    inputs: Vec<Input>,
    keys: Vec<KeyInput>,
}

/// An input with the keys of the rows' noise.
struct KeyInput {
    name: String,
    /// The number of the stream that the keys are drawn from.
    stream: u32,
    /// Floats per row.
    width: usize,
}

/// A variable of each row. The noise of a row depends on its values, whether the program reads them or
/// not: programs with other outputs have the same noise for the same rows.
struct Input {
    /// The program's input, if it reads the variable.
    name: Option<String>,
    variable: String,
    /// Floats per row.
    width: usize,
}

/// Values per row, by output: `bound`, its terms, `likelihood`, `predict.y`, `encode.z`, …
pub type Inferred = BTreeMap<OutputName, Vec<f32>>;

/// What is inferred of rows with binary data. The bound, its terms and the log-likelihood are of
/// bits ([`Bits`]); predictions and encodings read greys.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// All outputs.
    pub inferred: Inferred,
    /// The bound, its terms and the log-likelihood of the greys as they are. Empty if all binary data
    /// are bits.
    pub on_greys: Inferred,
}

impl Evaluator {
    /// Loads a build of [`super::programs::evaluate`], which reads the session's
    /// [`evaluated`](Session::evaluated) parameters.
    ///
    /// # Errors
    /// If the device cannot load the program.
    pub fn new(session: &mut Session, model: &Model, case: &Case, build: &Build) -> Result<Self> {
        let parameters = session.evaluated();
        let loaded = session.load_with(build, parameters, &|_| None)?;
        let plan = &build.plan;
        let width = |output: &Buffer| -> usize {
            let axes = output.axes.iter().map(|axis| &plan.axes[axis.index()]);
            axes.filter(|axis| axis.kind != AxisKind::Row)
                .map(|axis| axis.size)
                .product()
        };
        let outputs = plan
            .outputs()
            .map(|output| (output.name.as_str().into(), width(output)))
            .collect();
        let axes = plan
            .outputs()
            .flat_map(|output| &output.axes)
            .map(|axis| &plan.axes[axis.index()]);
        let rows = axes
            .filter(|axis| axis.kind == AxisKind::Row)
            .map(|axis| axis.size)
            .max()
            .expect("a bound has rows");
        let input_of = |variable: &Variable| {
            let is_wanted = |name: &&str| match InputName::parse(name) {
                Some(InputName::Observed(kind, observed)) => {
                    kind == case.kind && observed == variable.name
                }
                _ => false,
            };
            loaded.inputs().find(is_wanted).map(str::to_string)
        };
        let inputs = model.read_variables().into_iter().filter_map(|variable| {
            let name = input_of(variable);
            let width = match &name {
                Some(name) => session.len(&loaded, name)? / rows,
                None if !variable.role.is_always_observed() => return None,
                None if variable.is_class() => 1,
                None => variable.size(),
            };
            Some(Input {
                name,
                variable: variable.name.clone(),
                width,
            })
        });
        let inputs = inputs.collect();
        let keys = loaded.inputs().filter_map(|name| {
            let InputName::RowKey(_) = InputName::parse(name)? else {
                return None;
            };
            Some(KeyInput {
                name: name.to_string(),
                stream: philox::stream(name),
                width: session.len(&loaded, name)? / rows,
            })
        });
        Ok(Evaluator {
            keys: keys.collect(),
            loaded,
            rows,
            outputs,
            inputs,
        })
    }

    /// Whether the program has an output.
    pub fn computes(&self, output: &OutputName) -> bool {
        self.outputs.iter().any(|(name, _)| name == output)
    }

    /// Computes every output for every row, with the noise of `seed`: numbers per row on bits, others
    /// on greys.
    ///
    /// # Errors
    /// As [`Evaluator::run`].
    pub fn score(
        &self,
        session: &mut Session,
        model: &Model,
        source: &dyn Source,
        seed: u64,
    ) -> Result<Scored> {
        let mut inferred = self.run(session, source, seed)?;
        let mut on_greys = Inferred::new();
        let has_numbers = inferred.keys().any(OutputName::is_number_per_row);
        if let Some(bits) = Bits::of(model, source)?.filter(|_| has_numbers) {
            let on_bits = self.run(session, &bits, seed)?;
            for (name, values) in on_bits {
                if name.is_number_per_row()
                    && let Some(greys) = inferred.insert(name.clone(), values)
                {
                    on_greys.insert(name, greys);
                }
            }
        }
        Ok(Scored { inferred, on_greys })
    }

    /// Computes every output for every row of data as they are, with the noise of `seed`. The results
    /// of a row depend on its values, the seed and the number of samples alone.
    ///
    /// # Errors
    /// If the rows lack a variable that the program reads, its width differs, the rows cannot be
    /// read, or the device fails.
    pub fn run(&self, session: &mut Session, source: &dyn Source, seed: u64) -> Result<Inferred> {
        let mut fields = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            // Rows need not have what the program does not read.
            if input.name.is_some() || source.position(&input.variable).is_some() {
                let field = check_field(&input.variable, input.width, source, "rows")?;
                fields.push((input, field));
            }
        }
        let mut inferred: Inferred = self
            .outputs
            .iter()
            .map(|(name, _)| (name.clone(), Vec::new()))
            .collect();
        let total = source.rows();
        let mut values = Vec::new();
        for first in (0..total).step_by(self.rows) {
            let count = self.rows.min(total - first);
            // The last batch is padded with copies of its first row, whose results are discarded.
            let slots = (0..self.rows).map(|slot| if slot < count { first + slot } else { first });
            let rows: Vec<u32> = slots.map(|row| row as u32).collect();
            let mut hashes = vec![RowHash::EMPTY; self.rows];
            for &(input, field) in &fields {
                values.resize(self.rows * input.width, 0.0);
                source.read(field, &rows, &mut values)?;
                for (hash, values) in hashes.iter_mut().zip(values.chunks_exact(input.width)) {
                    hash.add(values);
                }
                if let Some(name) = &input.name {
                    session.fill(&self.loaded, name, &mut |floats| {
                        floats.copy_from_slice(&values);
                    })?;
                }
            }
            for key in &self.keys {
                session.fill(&self.loaded, &key.name, &mut |floats| {
                    for (hash, keys) in hashes.iter().zip(floats.chunks_exact_mut(key.width)) {
                        hash.fill(seed, key.stream, keys);
                    }
                })?;
            }
            // Programs of earlier versions have noise by place, and need other numbers in each batch.
            let step = match self.keys.is_empty() {
                true => (first / self.rows) as u64,
                false => 0,
            };
            session.run(&self.loaded, NoiseKey { seed: !seed, step })?;
            for (name, width) in &self.outputs {
                let values = session
                    .read(&self.loaded, &name.to_string())?
                    .expect("an output has an array");
                let kept = inferred.get_mut(name).expect("every output has an entry");
                kept.extend_from_slice(&values[..count * width]);
            }
        }
        Ok(inferred)
    }
}

/// The most probable class of each row, from `classes` probabilities per row.
pub fn likeliest(probabilities: &[f32], classes: usize) -> Vec<usize> {
    let rows = probabilities.chunks_exact(classes);
    rows.map(|row| {
        (0..classes).fold(
            0,
            |best, class| if row[class] > row[best] { class } else { best },
        )
    })
    .collect()
}

/// The fraction of labelled rows with a wrong prediction; `None` without labelled rows.
pub fn error(predicted: &[usize], classes: &[i32]) -> Option<f64> {
    let seen = predicted
        .iter()
        .zip(classes)
        .filter(|(_, class)| **class >= 0);
    let (mut rows, mut wrong) = (0usize, 0usize);
    for (predicted, class) in seen {
        rows += 1;
        wrong += usize::from(*predicted as i32 != *class);
    }
    (rows > 0).then(|| wrong as f64 / rows as f64)
}

/// The root of the mean squared error of numbers; `None` if all true ones are NaN.
pub fn rmse(predicted: &[f32], truth: &[f32]) -> Option<f64> {
    let pairs = predicted.iter().zip(truth);
    let known = pairs.filter(|(_, truth)| !truth.is_nan());
    let errors = known.map(|(predicted, truth)| f64::from(*predicted) - f64::from(*truth));
    let squares: Vec<f64> = errors.map(|error| error * error).collect();
    (!squares.is_empty()).then(|| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt())
}

/// The least variance over rows of an active unit.
const ACTIVE: f64 = 0.01;

/// The units of a latent variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units<'a> {
    /// The name of the latent variable.
    pub latent: &'a str,
    /// The number of active units.
    pub active: usize,
    /// The number of units.
    pub all: usize,
}

/// The active units of each latent variable (Burda et al. 2016): those whose posterior mean has a
/// variance above 0.01 over the rows. The posterior mean is the output `encode.LATENT`, averaged
/// over classes with the probabilities of q and over the samples of the other parents. With few
/// samples, sampling noise adds to its variance.
pub fn active_units(inferred: &Inferred, rows: usize) -> impl Iterator<Item = Units<'_>> {
    let means = inferred.iter().filter_map(|(name, values)| match name {
        OutputName::Encode(latent) => Some((latent.as_str(), values)),
        _ => None,
    });
    means.map(move |(latent, means)| {
        let all = means.len() / rows;
        let varies = |unit: &usize| variance(means.iter().skip(*unit).step_by(all)) > ACTIVE;
        Units {
            latent,
            active: (0..all).filter(varies).count(),
            all,
        }
    })
}

/// A head with values at the limit of its range. A density that wants a value beyond is cut off there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadAtLimit {
    /// The head's name: `p.x.log_rate`.
    pub head: String,
    /// The share of its values, over rows, features, samples and classes, that are at the limit.
    pub share: f64,
}

impl HeadAtLimit {
    /// What was found, and a way to change it.
    pub fn note(&self) -> Note {
        // Never 0 for a share above it.
        let percent = (100.0 * self.share).max(0.01);
        let message = format!(
            "{percent:.2} % of the values of the head `{}` are at the limit of its range, ±{LOG_BOUND}",
            self.head
        );
        Note::new(message).help(
            "a network that reads large numbers as they are may give such values: read them through \
             `log1p`, or standardise them",
        )
    }
}

/// The heads with values at their limits.
pub fn heads_at_limit(inferred: &Inferred) -> impl Iterator<Item = HeadAtLimit> {
    let shares = inferred.iter().filter_map(|(name, shares)| match name {
        OutputName::AtLimit(head) => Some((head, mean(shares))),
        _ => None,
    });
    let heads = shares.map(|(head, share)| HeadAtLimit {
        head: head.clone(),
        share,
    });
    heads.filter(|head| head.share > 0.0)
}

/// The variance, from deviations from the mean: mean square minus squared mean would lose small
/// variances beside large means.
fn variance<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> f64 {
    let wide = values.map(|value| f64::from(*value));
    let count = wide.clone().count() as f64;
    let mean = wide.clone().sum::<f64>() / count;
    wide.map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

/// The mean of values.
pub fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}
