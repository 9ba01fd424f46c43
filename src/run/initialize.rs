//! The initial values of parameters.

use super::{
    data::{Source, features},
    population::Population,
    session::{Entry, Session},
};
use crate::{
    backend::{Array, NoiseKey, cpu},
    error::Result,
    id::Id,
    model::{Initialize, Model},
    names::{log_deviation_name, log_frequency_name, mean_name},
    tensor::{Start, philox},
};

/// The step number that seeds initial values. Training never reaches it.
const BEFORE: u64 = u64::MAX;

/// Draws every parameter in an array by the model's recipe. A parameter's random stream has the
/// parameter's name.
pub fn initialize(
    session: &mut Session,
    parameters: Id<Array>,
    recipe: Initialize,
    seed: u64,
) -> Result<()> {
    for entry in session.layout.entries.clone() {
        let write = &mut |values: &mut [f32]| fill(&entry, recipe, seed, values);
        session
            .device
            .fill(parameters, entry.offset, entry.len(), write)?;
    }
    Ok(())
}

/// Sets the parameters that are statistics of the training rows, in every array of parameters: the means
/// and deviations of standardized variables, and the frequencies of classes. A constant feature keeps
/// the deviation 1, and one without a value the mean 0.
///
/// # Errors
/// If the rows cannot be read, or the device fails.
pub fn describe(
    session: &mut Session,
    model: &Model,
    rows: &dyn Source,
    population: &Population,
) -> Result<()> {
    for variable in &model.variables {
        if population.classes.contains_key(&variable.name) {
            let logs = population.log_frequencies(variable).into_iter();
            let logs: Vec<f32> = logs.map(|log| log as f32).collect();
            set(session, &log_frequency_name(&variable.name), &logs)?;
        }
    }
    let variables = model.variables.iter();
    for variable in variables.filter(|variable| variable.standardized) {
        let Some(field) = rows.position(&variable.name) else {
            continue;
        };
        let features = features(rows, field)?;
        let means = features.iter().map(|feature| feature.mean as f32);
        let logs = features
            .iter()
            .map(|feature| match feature.deviation > 0.0 {
                true => feature.deviation.ln() as f32,
                false => 0.0,
            });
        let values: [(String, Vec<f32>); 2] = [
            (mean_name(&variable.name), means.collect()),
            (log_deviation_name(&variable.name), logs.collect()),
        ];
        for (name, values) in values {
            set(session, &name, &values)?;
        }
    }
    Ok(())
}

/// Sets a parameter in every array of parameters, if the programs have it.
fn set(session: &mut Session, name: &str, values: &[f32]) -> Result<()> {
    let mut entries = session.layout.entries.iter();
    let found = entries.find(|entry| entry.parameter.name == name);
    let Some(entry) = found.cloned() else {
        return Ok(());
    };
    for array in session.parameter_arrays() {
        let (offset, len) = (entry.offset, entry.len());
        let write = &mut |floats: &mut [f32]| floats.copy_from_slice(values);
        session.device.fill(array, offset, len, write)?;
    }
    Ok(())
}

fn fill(entry: &Entry, recipe: Initialize, seed: u64, values: &mut [f32]) {
    if let Start::Constant(value) = entry.parameter.start {
        values.fill(value as f32);
        return;
    }
    let scale = deviation(entry.parameter.start, recipe);
    let key = NoiseKey { seed, step: BEFORE };
    cpu::draw_normal(key, philox::stream(&entry.parameter.name), values);
    values.iter_mut().for_each(|value| *value *= scale as f32);
}

/// The standard deviation of a parameter's initial values.
fn deviation(start: Start, recipe: Initialize) -> f64 {
    /// The ADGM authors' deviation for biases and latent heads.
    const SMALL: f64 = 0.001;
    let glorot = |inputs: usize, outputs: usize| (2.0 / (inputs + outputs) as f64).sqrt();
    match (recipe, start) {
        (_, Start::Constant(_)) => 0.0,
        (_, Start::Normal(scale)) => scale,
        (Initialize::Normal(_) | Initialize::He, Start::Bias | Start::LatentHeadBias) => 0.0,
        (Initialize::Normal(scale), _) => scale,
        (_, Start::Bias | Start::LatentHeadBias | Start::LatentHeadWeight { .. }) => SMALL,
        // ReLU's gain is √2.
        (Initialize::Glorot, Start::HiddenWeight { inputs, outputs }) => {
            2f64.sqrt() * glorot(inputs, outputs)
        }
        (Initialize::He, Start::HiddenWeight { inputs, .. }) => (2.0 / inputs as f64).sqrt(),
        (_, Start::DataHeadWeight { inputs, outputs }) => glorot(inputs, outputs),
    }
}
