//! Class variables that are summed over or drawn, and means over the weights of several samples.
//!
//! Each function takes the terms that depend on the variable as a closure, `body`, which it calls once
//! the variable has a value.

use super::{
    case::{Case, Known},
    entry::{Entry, total},
    network,
    weight::learning_signal,
};
use crate::{
    bound::FactorId,
    estimator::{Baseline, Choice, Drawn, gradient_alone},
    id::Id,
    layer::{self, Context, Part, Value},
    model::{BoundKind, Discrete, Factor, Model, Network, Variable},
    names::{InputName, TermName},
    tensor::{Axes, Axis, AxisKind, Node, NoiseKind, Scalar, Start},
};

/// The weight of a batch in a baseline's running mean and variance.
const MOMENTUM: f64 = 0.1;

/// The mean over samples of the body's entries. The outermost draw of a case adds the sample axis.
pub(super) fn with_samples<'m>(
    case: &mut Case<'m, '_>,
    body: impl FnOnce(&mut Case<'m, '_>) -> Vec<Entry>,
) -> Vec<Entry> {
    if case.builder.sample.is_some() || case.builder.samples == 1 {
        return body(case);
    }
    let sample = case.builder.sample_axis();
    let mut inner = case.inner();
    inner.builder.sample = Some(sample);
    let mut entries = body(&mut inner);
    for entry in &mut entries {
        entry.node = case.builder.graph.mean(entry.node, &Axes::from(sample));
    }
    entries
}

/// Σ_k q(k | …) · body, where the class of a row that has one has the probability 1. A term that does not depend on k is unchanged, since the probabilities sum to
/// one.
pub(super) fn enumerate<'m>(
    case: &mut Case<'m, '_>,
    factor: FactorId,
    body: impl FnOnce(&mut Case<'m, '_>) -> Vec<Entry>,
) -> Vec<Entry> {
    let child = case.variable(factor.factor(case.model).child);
    let class = case.builder.class_axis(child);
    let q = case.class_weights(factor);
    let mut entries = body(case);
    let graph = &mut *case.builder.graph;
    for entry in &mut entries {
        if graph.axes_of(entry.node).contains(class) {
            entry.node = graph.contract(q, entry.node, &Axes::from(class));
        }
    }
    entries
}

/// Σ_k m_k (body − log m_k), where m is the mean of q over the samples. In a row that has the label, m is
/// its one-hot vector.
pub(super) fn enumerate_mean<'m>(
    case: &mut Case<'m, '_>,
    factor: FactorId,
    body: impl FnOnce(&mut Case<'m, '_>) -> Vec<Entry>,
) -> Vec<Entry> {
    let variable = factor.factor(case.model).child;
    let child = case.variable(variable);
    let class = Axes::from(case.builder.class_axis(child));
    let log_q = case.log_prob(factor);
    let log_m = log_mean(case, log_q);
    let mut m = case.builder.graph.exp(log_m);
    let negative = case.builder.graph.neg(log_m);
    let negative = case.where_unknown(variable, negative);
    if let Some(Known { value, is_known }) = case.known_class(variable) {
        m = case
            .builder
            .graph
            .scalar(Scalar::Select, &[is_known, value, m]);
    }
    let name = TermName::NegLogQ(child.name.clone());
    let mut entries = vec![Entry::new(name, negative)];
    entries.extend(body(case));
    let graph = &mut *case.builder.graph;
    for entry in &mut entries {
        if class.is_subset(graph.axes_of(entry.node)) {
            entry.node = graph.contract(m, entry.node, &class);
        }
    }
    entries
}

/// log of the mean over samples of exp(value).
fn log_mean(case: &mut Case, value: Node) -> Node {
    let graph = &mut *case.builder.graph;
    match case
        .builder
        .sample
        .filter(|&sample| graph.axes_of(value).contains(sample))
    {
        None => value,
        Some(sample) => {
            let sum = graph.log_sum_exp(value, &Axes::from(sample));
            graph.shift(sum, -(case.builder.samples as f64).ln())
        }
    }
}

/// 1/(1 − α) · log mean over samples of exp((1 − α) body).
pub(super) fn log_mean_exp<'m>(
    case: &mut Case<'m, '_>,
    order: f64,
    body: impl FnOnce(&mut Case<'m, '_>) -> Vec<Entry>,
) -> Vec<Entry> {
    let mut entries = body(case);
    let weight = total(case.builder.graph, &entries);
    let power = 1.0 - order;
    let raised = case.builder.graph.scale(weight, power);
    let mean = log_mean(case, raised);
    let bound = case.builder.graph.scale(mean, 1.0 / power);
    entries.iter_mut().for_each(|entry| entry.adds = false);
    entries.push(Entry::new(TermName::LogMeanWeight, bound));
    if case.scores.is_empty() {
        return entries;
    }
    let without = without_each(case, raised, power);
    let graph = &mut *case.builder.graph;
    let better = graph.sub(bound, without);
    let signal = graph.stop_gradient(better);
    let sample = Axes::from(case.builder.sample.expect("check wants two samples"));
    for &log_q in &case.scores {
        let score = gradient_alone(graph, log_q);
        entries.push(Entry::gradient_only(graph.contract(signal, score, &sample)));
    }
    entries
}

/// The bound for each sample if its weight were the geometric mean of the others' weights (VIMCO, Mnih
/// and Rezende 2016).
fn without_each(case: &mut Case, raised: Node, power: f64) -> Node {
    let sample = case.builder.sample.expect("check wants two samples");
    let samples = case.builder.samples;
    let graph = &mut *case.builder.graph;
    let other = graph.new_axis(Axis {
        name: "other sample".to_string(),
        size: samples,
        kind: AxisKind::Sample,
    });
    let count = samples as f64;
    let sum = graph.sum(raised, &Axes::from(sample));
    let others = graph.sub(sum, raised);
    let geometric_mean = graph.scale(others, 1.0 / (count - 1.0));
    let position = graph.iota(sample);
    let is_left_out = graph.one_hot(position, other);
    let weights = graph.rename(raised, sample, other);
    let replaced = graph.scalar(Scalar::Select, &[is_left_out, geometric_mean, weights]);
    let sum = graph.log_sum_exp(replaced, &Axes::from(other));
    let mean = graph.shift(sum, -count.ln());
    graph.scale(mean, 1.0 / power)
}

/// The mean over the values that a variable's estimator draws.
pub(super) fn choose<'m>(
    case: &mut Case<'m, '_>,
    factor: FactorId,
    body: impl FnOnce(&mut Case<'m, '_>) -> Vec<Entry>,
) -> Vec<Entry> {
    let child = factor.factor(case.model).child;
    let discrete = case
        .model
        .objective
        .drawn(child)
        .expect("the bound chooses what is drawn");
    with_samples(case, |case| {
        let (distribution, heads) = case.distribution(factor);
        let axis = case.feature_axis(child);
        let (choice, drawn) = case.with_origin(factor, |case| {
            let log_q = distribution
                .log_probabilities(case.builder.graph, &heads, axis)
                .expect("check wants a q over classes");
            draw(case, discrete, log_q, axis)
        });
        case.set(child, drawn.value);
        let mut inner = case.inner();
        if averages_weights(inner.model) && discrete.estimator.is_score_function() {
            let score = inner.with_origin(factor, |case| {
                case.builder
                    .graph
                    .contract(drawn.value, choice.log_q, &Axes::from(axis))
            });
            inner.scores.push(score);
        }
        let entries = body(&mut inner);
        case.with_origin(factor, |case| {
            finish(case, factor, discrete, &choice, &drawn, entries)
        })
    })
}

/// Whether the bound is the log of a mean of weights. Then [`log_mean_exp`] adds the score-function
/// gradients of draws.
fn averages_weights(model: &Model) -> bool {
    model.objective.bound != BoundKind::Evidence
}

/// Draws from log q along `axis` by the variable's estimator.
fn draw<'m>(
    case: &mut Case<'m, '_>,
    discrete: &'m Discrete,
    log_q: Node,
    axis: Id<Axis>,
) -> (Choice<'m>, Drawn) {
    let builder = &mut case.builder;
    let axes: Axes = builder
        .batch_axes(log_q)
        .iter()
        .chain([builder.row(), axis])
        .chain(builder.sample)
        .collect();
    let name = &case.model.variables[discrete.variable.index()].name;
    let uniform = builder.noise(name, NoiseKind::Uniform, axes);
    let changing = discrete.estimator.changing(&discrete.arguments, 0.0);
    let changing = changing.map(|(number, _)| {
        let input = InputName::number(number, name).to_string();
        builder.graph.input(&input, Axes::none())
    });
    let choice = Choice {
        log_q,
        axis,
        uniform,
        arguments: &discrete.arguments,
        changing,
        sample: builder.sample,
        samples: builder.samples,
    };
    let drawn = discrete.estimator.draw(builder.graph, &choice);
    (choice, drawn)
}

/// The entries, averaged over the drawn values, and an entry for the estimator's correction of their
/// gradient.
fn finish(
    case: &mut Case,
    factor: FactorId,
    discrete: &Discrete,
    choice: &Choice,
    drawn: &Drawn,
    mut entries: Vec<Entry>,
) -> Vec<Entry> {
    let signal = learning_signal(case, &entries);
    let mut depends = true;
    if let Some((slots, weights)) = drawn.slots {
        let graph = &mut *case.builder.graph;
        for entry in &mut entries {
            if graph.axes_of(entry.node).contains(slots) {
                entry.node = graph.contract(weights, entry.node, &Axes::from(slots));
            }
        }
        depends = graph.axes_of(signal).contains(slots);
    }
    if averages_weights(case.model) || !depends {
        return entries;
    }
    let baseline = discrete.network.as_ref().map(|network| {
        let factor = factor.factor(case.model);
        baseline(case, factor, discrete.variable, network, signal)
    });
    let correction =
        discrete
            .estimator
            .gradient(case.builder.graph, choice, drawn, signal, baseline);
    entries.extend(correction.map(Entry::gradient_only));
    entries
}

/// A network on the parents of q that predicts the learning signal, normalised by its running mean and
/// standard deviation.
fn baseline(
    case: &mut Case,
    factor: &Factor,
    variable: Id<Variable>,
    network: &Network,
    signal: Node,
) -> Baseline {
    let prefix = format!("baseline.{}", case.variable(variable).name);
    let mut parts: Vec<Part> = Vec::new();
    for &parent in &factor.parents {
        for part in case.parts(parent) {
            parts.push(match part.value {
                Value::Dense(node) => part.with(case.builder.graph.stop_gradient(node)),
                Value::Enumerated(_) => part,
            });
        }
    }
    network::layers(&mut case.builder, &prefix, &network.layers, &mut parts);
    let mut context = case.builder.layer(format!("{prefix}.value"));
    let out = context.new_axis("", 1, AxisKind::Feature);
    let start = |inputs, outputs| Start::LatentHeadWeight { inputs, outputs };
    let value = layer::linear(&mut context, &parts, out, &start, Start::Bias);
    let graph = context.graph();
    let value = graph.sum(value, &Axes::from(out));
    let signal = graph.stop_gradient(signal);
    let all = graph.axes_of(signal).clone();
    let observed = graph.mean(signal, &all);
    let centred = graph.sub(signal, observed);
    let square = graph.square(centred);
    let spread = graph.mean(square, &all);
    let mean = context.running_average("running_mean", &[], 0.0, observed, MOMENTUM);
    let variance = context.running_average("running_var", &[], 1.0, spread, MOMENTUM);
    let graph = context.graph();
    let positive = graph.shift(variance, 1e-8);
    Baseline {
        value,
        mean,
        scale: graph.scalar(Scalar::Sqrt, &[positive]),
    }
}
