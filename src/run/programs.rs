//! The programs that a model needs, as plans.

use super::session::Layout;
use crate::{
    backend::Build,
    bound::Case,
    driver,
    lower::{Evaluate, Mode},
    model::{Batch, Model},
    plan::NoiseSource,
};

/// What training runs: the gradient of a batch, then the optimiser's update.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The gradient of a batch.
    pub gradient: Build,
    /// The gradient once some lines weigh nothing, without them: see [`Model::steady_state`].
    pub steady: Option<Build>,
    /// The optimiser's update.
    pub update: Build,
}

impl Training {
    /// Where the parameters lie.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.gradient.plan.parameters, &self.gradient.plan.axes)
    }
}

/// The parameters that training reads, the same for any number of rows.
pub fn parameters(model: &Model) -> Layout {
    let rows = vec![1; batch_rows(model).len()];
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::TRAIN);
    Layout::new(&graph.parameters, &graph.axes)
}

/// The parameters that generate data, some of which training may not read: those of a model that
/// infers a variable. None if data cannot be generated.
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
        } => vec![labelled, unlabelled],
    }
}

fn gradient(name: &str, model: &Model) -> Build {
    let step = driver::step(model, &batch_rows(model), Mode::TRAIN);
    Build::new(name, driver::plan(&step, NoiseSource::Generated))
}

/// The programs of training.
pub fn training(model: &Model) -> Training {
    let steady = match model.steady_state() {
        // From the first step on.
        Some((0, steady)) => return training(&steady),
        steady => steady.map(|(_, steady)| gradient("settled", &steady)),
    };
    let layout = |build: &Build| Layout::new(&build.plan.parameters, &build.plan.axes);
    let gradient = gradient("gradient", model);
    // Parameters lie alike for both.
    let steady = steady.filter(|steady| layout(steady) == layout(&gradient));
    let Layout {
        weights, trained, ..
    } = layout(&gradient);
    let update = driver::update(model, weights, trained - weights);
    Training {
        gradient,
        steady,
        update: Build::new("update", driver::plan(&update, NoiseSource::Generated)),
    }
}

/// What a run evaluates itself by after each epoch, when it was compiled ahead of time: the last
/// case, 200 rows at once.
pub fn evaluation(model: &Model) -> (Case, Evaluate) {
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a model has a case").clone();
    let what = Evaluate {
        rows: 200,
        samples: model.objective.samples,
        likelihood: false,
    };
    (case, what)
}

/// What is inferred of a batch of rows.
pub fn evaluate(model: &Model, case: &Case, what: Evaluate) -> Build {
    Build::new(
        "evaluate",
        driver::plan(&driver::evaluate(model, case, what), NoiseSource::Generated),
    )
}
