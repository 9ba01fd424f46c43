//! The programs that a model needs, as plans.

use super::session::Layout;
use crate::{
    backend::Build,
    bound::Case,
    driver,
    lower::{Evaluate, Mode},
    model::{Batch, Checked},
    plan::NoiseSource,
};

/// What training runs: the gradient of a batch, then the optimiser's update.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    pub gradient: Build,
    pub update: Build,
}

impl Training {
    /// Where the parameters lie.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.gradient.plan.parameters, &self.gradient.plan.axes)
    }
}

/// The parameters that training reads, the same for any number of rows.
pub fn parameters(model: &Checked) -> Layout {
    let rows = vec![1; batch_rows(model).len()];
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::TRAIN);
    Layout::new(&graph.parameters, &graph.axes)
}

/// The parameters that generate data, some of which training may not read: those of a model that infers a variable. None if data
/// cannot be generated.
pub fn generative_parameters(model: &Checked) -> Layout {
    if model.not_drawn().is_some() {
        return Layout::new(&[], &[]);
    }
    let graph = driver::generate(model, 1, &[]);
    Layout::new(&graph.parameters, &graph.axes)
}

/// The rows of each case that a step takes.
pub fn batch_rows(model: &Checked) -> Vec<usize> {
    match model.train.batch {
        Batch::All(rows) => vec![rows],
        Batch::Cases { labelled, unlabelled } => vec![labelled, unlabelled],
    }
}

pub fn training(model: &Checked) -> Training {
    let step = driver::step(model, &batch_rows(model), Mode::TRAIN);
    let gradient = Build::new("gradient", driver::plan(&step, NoiseSource::Generated));
    let layout = Layout::new(&gradient.plan.parameters, &gradient.plan.axes);
    let update = driver::update(model, layout.weights, layout.trained - layout.weights);
    Training { gradient, update: Build::new("update", driver::plan(&update, NoiseSource::Generated)) }
}

/// What is inferred of a batch of rows.
pub fn evaluate(model: &Checked, case: &Case, what: Evaluate) -> Build {
    Build::new("evaluate", driver::plan(&driver::evaluate(model, case, what), NoiseSource::Generated))
}
