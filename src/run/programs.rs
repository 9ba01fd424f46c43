//! The programs of a model, as plans.

use super::session::Layout;
use crate::{
    backend::Build,
    bound::Case,
    driver,
    error::{Error, ErrorKind, Result},
    lower::{Evaluate, Mode},
    model::{Batch, Model},
    plan::NoiseSource,
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
        } => vec![labelled, unlabelled],
    }
}

/// The most numbers that one value of a step may have: 256 GiB of them.
const MOST_NUMBERS: f64 = (1u64 << 36) as f64;

/// Checks that no value of a training step is too large to be planned, before anything is planned.
///
/// # Errors
/// With the first value that is, and what it belongs to.
pub fn check_size(model: &Model) -> Result<()> {
    let too_large = |what: &str, numbers: f64| {
        let message = format!(
            "{}: {what} has {numbers:.1e} numbers, more than {MOST_NUMBERS:.1e}",
            model.file
        );
        let help = "reduce a size, the number of classes, the samples or the batch";
        Err(Error::of_kind(ErrorKind::Model, message).help(help))
    };
    // The sums over classes multiply; beyond this product, not even the sizes of values fit.
    let rows = batch_rows(model).into_iter().max().unwrap_or(0);
    let summed = model.objective.sums.iter();
    let classes = summed.map(|id| model.variables[id.index()].size() as f64);
    let batch = classes.product::<f64>() * rows as f64 * model.objective.samples as f64;
    if batch > MOST_NUMBERS {
        return too_large("the batch with its samples and classes", batch);
    }
    let rows = batch_rows(model);
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::TRAIN);
    for node in &graph.nodes {
        let sizes = node.axes.iter().map(|axis| graph.axis(axis).size as f64);
        let numbers = sizes.product::<f64>();
        if numbers > MOST_NUMBERS {
            return too_large(
                &format!("a value of `{}`", graph.origins[node.origin]),
                numbers,
            );
        }
    }
    Ok(())
}

fn gradient(name: &str, model: &Model) -> Build {
    let step = driver::step(model, &batch_rows(model), Mode::TRAIN);
    Build::new(name, driver::plan(&step, NoiseSource::Generated))
}

/// The programs of training.
pub fn training(model: &Model) -> Training {
    let steady = match model.steady_state() {
        // The state at the first step.
        Some((0, steady)) => return training(&steady),
        steady => steady.map(|(_, steady)| gradient("settled", &steady)),
    };
    let layout = |build: &Build| Layout::new(&build.plan.parameters, &build.plan.axes);
    let gradient = gradient("gradient", model);
    // Both programs have the same layout of parameters.
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

/// The case and the batch of a compiled model's evaluation after each epoch: the last case, with
/// 200 rows.
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

/// The program that infers a batch of rows.
pub fn evaluate(model: &Model, case: &Case, what: Evaluate) -> Build {
    Build::new(
        "evaluate",
        driver::plan(&driver::evaluate(model, case, what), NoiseSource::Generated),
    )
}
