//! The program that evaluates rows: bounds, predictions and encodings.

use super::{
    Mode,
    builder::{Builder, RunningAverages, empty_graph},
    case::{Cache, Case},
    entry::total,
    term,
};
use crate::{
    bound::{self, Term},
    distribution::LOG_BOUND,
    id::Id,
    model::{Model, Role, Variable},
    names::{CaseKind, OutputName},
    tensor::{Axes, Graph, Node, OutputKind, Scalar},
};

/// The settings of [`evaluate`].
#[derive(Clone, Copy, Debug)]
pub struct Evaluate {
    /// The rows of a batch.
    pub rows: usize,
    /// The joint samples of q.
    pub samples: usize,
    /// What is computed of each row.
    pub outputs: Outputs,
}

/// What [`evaluate`] computes of each row; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outputs {
    /// Predictions of the labels, by q.
    Predictions,
    /// Encodings, by q.
    Encodings,
    /// The bound, its terms, and the shares of heads at their limits.
    Bound,
    /// The estimate of the log-likelihood by importance weights.
    Likelihood,
}

impl Evaluate {
    /// A pass over the rows of a batch in [`Mode::EVALUATE`].
    pub(super) fn builder<'g>(
        self,
        graph: &'g mut Graph,
        running: &'g mut RunningAverages,
        case: CaseKind,
    ) -> Builder<'g> {
        Builder::new(
            graph,
            running,
            Mode::EVALUATE,
            self.samples,
            case,
            self.rows,
        )
    }
}

/// The evaluation of a batch of rows in [`Mode::EVALUATE`]. Every output has the row axis first:
///
/// - `predict.LABEL`, the mean over samples of q's probabilities (axes row, class); for a label of
///   numbers, its mean under q, and `deviation.LABEL`, its standard deviation, in the units of the data
///   (axes row, feature);
/// - `encode.LATENT`, the mean of q over samples and classes (axes row, feature);
/// - `bound` and its terms, if the model has a bound (axes row);
/// - `at_limit.HEAD`, the share of a head's values that are at the limit of its range (axes row);
/// - `likelihood`, the estimate of the log-likelihood (axes row).
pub fn evaluate(model: &Model, case: &bound::Case, what: Evaluate) -> Graph {
    let mut graph = empty_graph();
    let has_bound = bound_and_means(&mut graph, model, case, what);
    // A classifier has no density of data.
    if what.outputs == Outputs::Likelihood && has_bound {
        let term = bound::likelihood(model, &case.observed);
        likelihood(&mut graph, model, case, &term, what);
    }
    graph
}

/// Adds the predictions of each row, and the encodings, the bound and its terms if they are among the
/// outputs. Returns whether they are, and the model has a bound.
fn bound_and_means(graph: &mut Graph, model: &Model, bounds: &bound::Case, what: Evaluate) -> bool {
    let (mut running, mut cache) = (RunningAverages::new(), Cache::default());
    let builder = what.builder(graph, &mut running, bounds.kind);
    let mut case = Case::begin(model, builder, &bounds.observed, &mut cache);
    case.observe_partly(&bounds.partly);
    let row = case.builder.row();
    // The terms draw the latents. Nodes that no output needs are removed when the graph is simplified.
    let mut entries = term::entries(&mut case, &bounds.exact);
    let wants_bound = what.outputs >= Outputs::Bound;
    if !wants_bound {
        entries.clear();
    }
    let graph = &mut *case.builder.graph;
    if !entries.is_empty() {
        let bound = total(graph, &entries);
        graph.output(OutputKind::Value, OutputName::Bound, bound, vec![row]);
    }
    for entry in &entries {
        if let Some(term) = entry.name.clone() {
            let name = OutputName::Term(term);
            graph.output(OutputKind::Value, name, entry.node, vec![row]);
        }
    }
    for index in 0..model.variables.len() {
        report(&mut case, Id::new(index), what.outputs);
    }
    if wants_bound {
        for (head, value) in case.clamped_heads() {
            share_at_limit(&mut case, head, value);
        }
    }
    !entries.is_empty()
}

/// Adds the share of a clamped head's values that are at the limit: of all features, samples and classes.
fn share_at_limit(case: &mut Case, head: String, value: Node) {
    let row = case.builder.row();
    let graph = &mut *case.builder.graph;
    let (size, limit) = (
        graph.scalar(Scalar::Abs, &[value]),
        graph.constant(LOG_BOUND),
    );
    let below = graph.scalar(Scalar::Greater, &[limit, size]);
    let others = graph.axes_of(below).minus(&Axes::from(row));
    let (share_below, all) = (graph.mean(below, &others), graph.constant(1.0));
    let share = graph.sub(all, share_below);
    graph.output(
        OutputKind::Value,
        OutputName::AtLimit(head),
        share,
        vec![row],
    );
}

/// Adds the estimate of the log-likelihood of each row.
fn likelihood(graph: &mut Graph, model: &Model, bounds: &bound::Case, term: &Term, what: Evaluate) {
    let (mut running, mut cache) = (RunningAverages::new(), Cache::default());
    let builder = what.builder(graph, &mut running, bounds.kind);
    let mut case = Case::begin(model, builder, &bounds.observed, &mut cache);
    case.observe_partly(&bounds.partly);
    let entries = term::entries(&mut case, term);
    let row = case.builder.row();
    let graph = &mut *case.builder.graph;
    let estimate = total(graph, &entries);
    let name = OutputName::Likelihood;
    graph.output(OutputKind::Value, name, estimate, vec![row]);
}

/// Adds the prediction of a label, or the encoding of a latent if it is among the outputs.
fn report(case: &mut Case, variable: Id<Variable>, outputs: Outputs) {
    let (model, declared) = (case.model, case.variable(variable));
    let is_reported = match declared.role {
        Role::Label => true,
        Role::Latent => outputs >= Outputs::Encodings,
        _ => false,
    };
    let is_inferred = model
        .inference
        .iter()
        .any(|factor| factor.child == variable);
    if !is_inferred || !is_reported {
        return;
    }
    let factor = case.inference_of(variable);
    let (distribution, heads) = case.distribution(factor);
    let axis = case.feature_axis(variable);
    let given = distribution.mean(case.builder.graph, &heads, axis);
    let mean = average(case, given);
    let order = vec![case.builder.row(), axis];
    let output = |case: &mut Case, name: OutputName, node: Node| {
        let graph = &mut *case.builder.graph;
        graph.output(OutputKind::Value, name, node, order.clone());
    };
    let name = declared.name.clone();
    match (declared.role, declared.is_class()) {
        (Role::Label, false) => {
            // The variance of a mixture: the mean of the variances plus the variance of the means.
            let graph = &mut *case.builder.graph;
            let centred = graph.sub(given, mean);
            let between = graph.square(centred);
            let within = distribution.variance(graph, &heads);
            let within = within.expect("a distribution with a sample has a variance");
            let spread = graph.add(within, between);
            let variance = average(case, spread);
            let mut deviation = case.builder.graph.scalar(Scalar::Sqrt, &[variance]);
            let mut mean = mean;
            if let Some(standardization) = case.standardization(variable) {
                mean = standardization.invert(case.builder.graph, mean);
                deviation = standardization.scale(case.builder.graph, deviation);
            }
            output(case, OutputName::Predict(name.clone()), mean);
            output(case, OutputName::Deviation(name), deviation);
        }
        (_, true) => output(case, OutputName::Predict(name), mean),
        (_, false) => output(case, OutputName::Encode(name), mean),
    }
}

/// The mean over samples, and over classes by q's probabilities, innermost class first.
pub(super) fn average(case: &mut Case, value: Node) -> Node {
    let value = case.average_classes(value);
    let sample = Axes::from(case.builder.sample_axis());
    case.builder.graph.mean(value, &sample)
}
