//! The programs of a model, as plans.

use super::session::Layout;
use crate::{
    backend::Build,
    bound::Case,
    driver,
    error::Result,
    lower::{Evaluate, Given, Mode, Outputs},
    model::{Batch, Model},
    plan::NoiseSource,
    tensor::Graph,
};

/// The programs of training: the gradient of a batch, then the optimiser's update.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The gradient of a batch.
    pub gradient: Build,
    /// The gradient without the lines whose weights have become 0: see [`Model::steady_state`].
    pub steady: Option<Build>,
    /// The optimiser's update.
    pub update: Build,
}

impl Training {
    /// The layout of the parameters.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.gradient.plan.parameters, &self.gradient.plan.axes)
    }
}

/// The layout of the parameters that training reads. It does not depend on the number of rows.
pub fn parameters(model: &Model) -> Layout {
    let rows = vec![1; batch_rows(model).len()];
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::TRAIN);
    Layout::new(&graph.parameters, &graph.axes)
}

/// The layout of the parameters that generate data. Training may not read all of them: it does not
/// read the generative parameters of an upstream model. Empty if data cannot be generated.
pub fn generative_parameters(model: &Model) -> Layout {
    if model.not_drawn().is_some() {
        return Layout::new(&[], &[]);
    }
    let graph = driver::generate(model, 1, &[]);
    Layout::new(&graph.parameters, &graph.axes)
}

/// The rows of each case that a step takes.
pub fn batch_rows(model: &Model) -> Vec<usize> {
    match model.train.batch {
        Batch::All(rows) => vec![rows],
        Batch::Cases {
            labelled,
            unlabelled,
            ..
        } => vec![labelled, unlabelled],
    }
}

fn gradient(name: &str, model: &Model) -> Result<Build> {
    let step = driver::step(model, &batch_rows(model), Mode::TRAIN);
    planned(name, &step)
}

fn planned(name: &str, graph: &Graph) -> Result<Build> {
    Ok(Build::new(
        name,
        driver::plan(graph, NoiseSource::Generated)?,
    ))
}

/// The programs of training.
///
/// # Errors
/// If the model is too large to be planned.
pub fn training(model: &Model) -> Result<Training> {
    let steady = match model.steady_state() {
        // The state at the first step.
        Some((0, steady)) => return training(&steady),
        steady => steady
            .map(|(_, steady)| gradient("settled", &steady))
            .transpose()?,
    };
    let layout = |build: &Build| Layout::new(&build.plan.parameters, &build.plan.axes);
    let gradient = gradient("gradient", model)?;
    // Both programs have the same layout of parameters.
    let steady = steady.filter(|steady| layout(steady) == layout(&gradient));
    let layout = layout(&gradient);
    let update = driver::update(model, |group| layout.range(group).len());
    Ok(Training {
        gradient,
        steady,
        update: planned("update", &update)?,
    })
}

/// The case and the batch of a compiled model's evaluation after each epoch: the last case, with
/// 200 rows.
pub fn evaluation(model: &Model) -> (Case, Evaluate) {
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a model has a case").clone();
    let what = Evaluate {
        rows: 200,
        samples: model.objective.samples,
        outputs: Outputs::Bound,
    };
    (case, what)
}

/// The program that reconstructs a batch of rows.
///
/// # Errors
/// If the model is too large to be planned.
pub fn reconstruct(
    model: &Model,
    case: &Case,
    what: Evaluate,
    given: &[Vec<Given>],
) -> Result<Build> {
    let graph = driver::reconstruct(model, case, what, given);
    planned("reconstruct", &graph)
}

/// The program that draws latents of a batch of rows, and computes the heads of their data.
///
/// # Errors
/// If the model is too large to be planned.
pub fn predictive(model: &Model, case: &Case, what: Evaluate) -> Result<Build> {
    planned("predictive", &driver::predictive(model, case, what))
}

/// The program that infers a batch of rows.
///
/// # Errors
/// If the model is too large to be planned.
pub fn evaluate(model: &Model, case: &Case, what: Evaluate) -> Result<Build> {
    planned("evaluate", &driver::evaluate(model, case, what))
}
