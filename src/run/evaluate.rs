//! Inference on whole tables: bounds, predictions and latents, a batch of rows at a time.

use super::{
    data::Table,
    session::{Loaded, Session},
};
use crate::{
    backend::{Build, NoiseKey},
    bound::Case,
    error::Result,
    model::Checked,
    plan::Buffer,
    tensor::AxisKind,
};
use std::collections::BTreeMap;

/// The program that infers a batch of rows of one case.
pub struct Evaluator {
    loaded: Loaded,
    case: &'static str,
    rows: usize,
    /// The outputs, with the floats of a row.
    outputs: Vec<(String, usize)>,
    inputs: Vec<(String, String)>,
}

/// Numbers per row, by output: `bound`, `log p(x)`, `likelihood`, `predict.y`, `encode.z`, …
pub type Inferred = BTreeMap<String, Vec<f32>>;

impl Evaluator {
    /// From the build of [`super::programs::evaluate`].
    pub fn new(session: &mut Session, model: &Checked, case: &Case, build: &Build) -> Result<Self> {
        let loaded = session.load(build, &|_| None)?;
        let plan = &build.plan;
        let width = |output: &Buffer| -> usize {
            let axes = output.axes.iter().map(|axis| &plan.axes[axis.index()]);
            axes.filter(|axis| axis.kind != AxisKind::Row).map(|axis| axis.size).product()
        };
        let outputs = plan.outputs().map(|output| (output.name.clone(), width(output))).collect();
        let prefix = format!("{}.", case.name);
        let inputs =
            loaded.names().filter_map(|name| Some((name.to_string(), name.strip_prefix(&prefix)?.to_string())));
        let inputs = inputs.filter(|(_, variable)| model.given().iter().any(|known| known.name == *variable)).collect();
        let axes = plan.outputs().flat_map(|output| &output.axes).map(|axis| &plan.axes[axis.index()]);
        let rows = axes.filter(|axis| axis.kind == AxisKind::Row).map(|axis| axis.size).max();
        Ok(Evaluator { loaded, case: case.name, rows: rows.expect("a bound has rows"), outputs, inputs })
    }

    /// Every output for every row; the noise is that of `seed`, the same at each call.
    pub fn run(&self, session: &mut Session, table: &Table, seed: u64) -> Result<Inferred> {
        let mut inferred: Inferred = self.outputs.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        let mut first = 0;
        while first < table.rows {
            let count = self.rows.min(table.rows - first);
            for (input, variable) in &self.inputs {
                let column = table.column(variable);
                let column = column.unwrap_or_else(|| panic!("the data have `{variable}`, which {} reads", self.case));
                let width = column.width;
                session.fill(&self.loaded, input, &mut |array| {
                    for (slot, out) in array.chunks_exact_mut(width).enumerate() {
                        // The last batch is filled up with its first row, whose results are left out.
                        column.copy_row(if slot < count { first + slot } else { first }, out);
                    }
                })?;
            }
            session.run(&self.loaded, NoiseKey { seed: !seed, step: (first / self.rows) as u64 })?;
            for (name, width) in &self.outputs {
                let values = session.read(&self.loaded, name)?.expect("an output has an array");
                let kept = inferred.get_mut(name).expect("outputs are known");
                kept.extend_from_slice(&values[..count * width]);
            }
            first += count;
        }
        Ok(inferred)
    }
}

/// The likeliest class of each row, from `classes` probabilities a row.
pub fn likeliest(probabilities: &[f32], classes: usize) -> Vec<usize> {
    let rows = probabilities.chunks_exact(classes);
    rows.map(|row| (0..classes).fold(0, |best, class| if row[class] > row[best] { class } else { best })).collect()
}

/// The fraction of labelled rows that are predicted otherwise; none without labelled rows.
pub fn error(predicted: &[usize], classes: &[i32]) -> Option<f64> {
    let seen = predicted.iter().zip(classes).filter(|(_, class)| **class >= 0);
    let (mut rows, mut wrong) = (0usize, 0usize);
    for (predicted, class) in seen {
        rows += 1;
        wrong += usize::from(*predicted as i32 != *class);
    }
    (rows > 0).then(|| wrong as f64 / rows as f64)
}

/// The mean of a column.
pub fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}
