//! The loss of a batch with its gradient's targets, and what evaluation reports of each row.

use super::{
    Mode,
    case::{Averages, Entry, Lowering, total},
    is_class,
};
use crate::{
    bound::{self, Bounds, Case, CaseKind},
    id::Id,
    layer::Value,
    model::{Expression, Model, Ramp, Role, Variable, Weighed},
    names::{CLASSIFICATION, InputName, OutputName},
    tensor::{Axes, Graph, Node, OutputKind, Scalar},
};

/// The loss of one batch, `rows[i]` rows of case i, with every running average's next value.
///
/// Outputs, beside `loss`: for each case `CASE.bound` (mean over rows), `CASE.per_row` and the mean
/// of each of its terms; `classification.LABEL` for each `classify`, `smoothness.CASE.LABEL` for
/// each `smooth`, `information.LABEL` for each `inform`, `match.NODE` for each `match`. Weights
/// that change in training, or that depend on the training rows, are inputs: `labelled`,
/// `beta.VARIABLE`, `smooth.LABEL` and `weight.LABEL`.
pub fn train(model: &Model, bounds: &Bounds, rows: &[usize], mode: Mode) -> Graph {
    assert_eq!(
        bounds.cases.len(),
        rows.len(),
        "each case has a number of rows"
    );
    let mut lowering = Lowering::new(model, mode, model.objective.samples);
    let mut loss = Vec::new();
    let last = rows.iter().rposition(|&rows| rows > 0);
    for (number, (case, &rows)) in bounds.cases.iter().zip(rows).enumerate() {
        if rows == 0 {
            continue;
        }
        // Evaluation infers as the last case does; the others' statistics are those of other
        // values.
        let of_all = last == Some(number);
        lowering.averages = if of_all {
            Averages::Moved
        } else {
            Averages::Kept
        };
        lowering.begin(case.kind, rows, &case.observed);
        loss.extend(case_loss(&mut lowering, case));
        if case.kind == CaseKind::Labelled {
            loss.extend(classification(&mut lowering));
        }
        loss.extend(lowering.smoothing());
        if of_all {
            loss.extend(lowering.information());
            loss.extend(lowering.matching());
        }
    }
    let graph = &mut lowering.graph;
    graph.set_origin("loss");
    let loss = graph.total(loss);
    graph.output(OutputKind::Value, OutputName::Loss, loss, Vec::new());
    for (name, node) in std::mem::take(&mut lowering.running) {
        let known = lowering
            .graph
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        let axes = known
            .expect("a running average is declared before it moves")
            .axes
            .clone();
        lowering.graph.output(OutputKind::Next, name, node, axes);
    }
    lowering.graph
}

/// −(mean bound), with weights and free bits on the terms of variables that are inferred; reports
/// the bound without them.
fn case_loss(lowering: &mut Lowering, case: &Case) -> Vec<Node> {
    let entries = lowering.term(&case.bound);
    if entries.is_empty() {
        // Evaluation needs the averages of these rows, though no cost may read them.
        lowering.infer();
        return Vec::new();
    }
    let (name, row) = (case.kind, Axes::from(lowering.row));
    lowering.graph.set_origin(&format!("{name} bound"));
    let per_row = total(&mut lowering.graph, &entries);
    let bound = lowering.graph.mean(per_row, &row);
    lowering.graph.output(
        OutputKind::Value,
        OutputName::CaseBound(name),
        bound,
        Vec::new(),
    );
    lowering.graph.output(
        OutputKind::Value,
        OutputName::PerRow(name),
        per_row,
        vec![lowering.row],
    );
    let objective = weighted(lowering, &entries, bound);
    for Entry { name, node, .. } in &entries {
        let Some(term) = name else { continue };
        let mean = lowering.graph.mean(*node, &row);
        lowering.graph.output(
            OutputKind::Value,
            OutputName::CaseTerm(case.kind, term.clone()),
            mean,
            Vec::new(),
        );
    }
    let objective = match lowering
        .model
        .objective
        .labelled
        .filter(|_| name == CaseKind::Labelled)
    {
        Some(ramp) => {
            let weight = lowering.ramp_value(Weighed::Labelled, ramp);
            lowering.graph.mul(weight, objective)
        }
        None => objective,
    };
    vec![lowering.graph.neg(objective)]
}

/// The mean bound with the terms of what q infers multiplied by their weight, and held at its free
/// bits. Each term is counted once, by its weight, so that the gradient of one that weighs little
/// is not what is left of two that nearly cancel.
fn weighted(lowering: &mut Lowering, entries: &[Entry], bound: Node) -> Node {
    let model = lowering.model;
    let settings = &model.objective;
    let row = Axes::from(lowering.row);
    let (mut rest, mut parts) = (entries.to_vec(), Vec::new());
    for (index, variable) in model.variables.iter().enumerate() {
        let id = Id::new(index);
        let free = settings
            .free_bits
            .iter()
            .find(|(free, _)| *free == id)
            .map(|(_, nats)| *nats);
        let weight = lowering.weight(id);
        let own: Vec<Entry> = match (weight, free) {
            (None, None) => Vec::new(),
            _ => rest
                .extract_if(.., |entry| entry.adds && entry.belongs_to(&variable.name))
                .collect(),
        };
        if own.is_empty() {
            continue;
        }
        let graph = &mut lowering.graph;
        let own = total(graph, &own);
        let plain = graph.mean(own, &row);
        let held = match free {
            Some(nats) => {
                let most = graph.constant(-nats);
                graph.scalar(Scalar::Min, &[plain, most])
            }
            None => plain,
        };
        parts.push(weight.map_or(held, |weight| graph.mul(weight, held)));
    }
    if parts.is_empty() {
        return bound;
    }
    let graph = &mut lowering.graph;
    let rest = total(graph, &rest);
    parts.push(graph.mean(rest, &row));
    graph.total(parts)
}

impl Lowering<'_> {
    /// The sum of the parts, each variable's by its weight: what a gradient that is not a
    /// derivative is kept right by.
    pub(super) fn worth(&mut self, entries: &[Entry]) -> Node {
        let model = self.model;
        let mut parts = entries.to_vec();
        for beta in &model.objective.betas {
            let Some(weight) = self.weight(beta.variable) else {
                continue;
            };
            let name = &model.variables[beta.variable.index()].name;
            for part in parts.iter_mut().filter(|part| part.belongs_to(name)) {
                part.node = self.graph.mul(weight, part.node);
            }
        }
        total(&mut self.graph, &parts)
    }

    /// The weight of a variable's terms, if a line gives it one. A label that is observed has a
    /// likelihood, which q has no part in.
    fn weight(&mut self, variable: Id<Variable>) -> Option<Node> {
        let model = self.model;
        let mut betas = model
            .objective
            .betas
            .iter()
            .filter(|_| !self.is_observed(variable));
        let beta = betas.find(|beta| beta.variable == variable)?;
        Some(self.ramp_value(Weighed::Terms(variable), beta.ramp))
    }

    /// The weight as it is at a step: an input, if it changes.
    pub(super) fn ramp_value(&mut self, weighed: Weighed, ramp: Ramp) -> Node {
        match ramp.changes() {
            true => self
                .graph
                .input(&self.model.input_of(weighed).to_string(), Axes::none()),
            false => self.graph.constant(ramp.weight),
        }
    }
}

/// weight · mean over labelled rows and samples of −log q(label | …).
fn classification(lowering: &mut Lowering) -> Vec<Node> {
    let model = lowering.model;
    let mut losses = Vec::new();
    for classify in &model.objective.classify {
        let factor = lowering.inference_of(classify.label);
        let density = lowering.log_prob(factor);
        let graph = &mut lowering.graph;
        let axes = graph.axes_of(density).clone();
        let mean = graph.mean(density, &axes);
        let cross_entropy = graph.neg(mean);
        let label = &model.variables[classify.label.index()].name;
        graph.output(
            OutputKind::Value,
            OutputName::metric(CLASSIFICATION, label),
            cross_entropy,
            Vec::new(),
        );
        let weight = match classify.weight {
            Expression::Number(weight) => graph.constant(weight),
            _ => graph.input(
                &InputName::number("weight", label).to_string(),
                Axes::none(),
            ),
        };
        losses.push(graph.mul(weight, cross_entropy));
    }
    losses
}

/// What [`evaluate`] is to find.
#[derive(Clone, Copy, Debug)]
pub struct Evaluate {
    pub rows: usize,
    pub samples: usize,
    /// Also the importance-weighted estimate of log p(data).
    pub likelihood: bool,
}

/// What is inferred of each row, by running averages, with greys as they are. Every output has the
/// row axis first: `bound` and its terms, if there is one, `likelihood` (the log-likelihood
/// estimate), `predict.LABEL` (the mean over samples of q's probabilities; axes row, class) and
/// `encode.LATENT` (the mean of q, over samples and classes; axes row, feature).
pub fn evaluate(model: &Model, case: &Case, what: Evaluate) -> Graph {
    let mut lowering = Lowering::new(model, Mode::EVALUATE, what.samples);
    lowering.begin(case.kind, what.rows, &case.observed);
    let entries = lowering.term(&case.exact);
    let row = lowering.row;
    if !entries.is_empty() {
        let bound = total(&mut lowering.graph, &entries);
        lowering
            .graph
            .output(OutputKind::Value, OutputName::Bound, bound, vec![row]);
    }
    for entry in &entries {
        let Some(term) = entry.name.clone() else {
            continue;
        };
        let name = OutputName::Term(term);
        lowering
            .graph
            .output(OutputKind::Value, name, entry.node, vec![row]);
    }
    for index in 0..model.variables.len() {
        report(&mut lowering, case, Id::new(index));
    }
    // A classifier has no density of its data.
    if what.likelihood && !entries.is_empty() {
        lowering.begin(case.kind, what.rows, &case.observed);
        let term = bound::likelihood(model, &case.observed);
        let entries = lowering.term(&term);
        let estimate = total(&mut lowering.graph, &entries);
        lowering.graph.output(
            OutputKind::Value,
            OutputName::Likelihood,
            estimate,
            vec![row],
        );
    }
    lowering.graph
}

/// The prediction of a label, or the mean of a latent.
fn report(lowering: &mut Lowering, case: &Case, variable: Id<Variable>) {
    let model = lowering.model;
    let declared = &model.variables[variable.index()];
    let inferred = model
        .inference
        .iter()
        .any(|factor| factor.child == variable);
    if !inferred || !matches!(declared.role, Role::Label | Role::Latent) {
        return;
    }
    let factor = lowering.inference_of(variable);
    let (distribution, heads) = lowering.distribution(factor);
    let axis = lowering.feature_axis(variable);
    let mean = distribution.mean(&mut lowering.graph, &heads, axis);
    let mean = average(lowering, case, mean);
    let name = declared.name.clone();
    let name = if is_class(model, variable) {
        OutputName::Predict(name)
    } else {
        OutputName::Encode(name)
    };
    let order = vec![lowering.row, axis];
    lowering.graph.output(OutputKind::Value, name, mean, order);
}

/// The mean over samples, and over summed classes by q's probabilities, innermost class first.
fn average(lowering: &mut Lowering, case: &Case, mut value: Node) -> Node {
    let model = lowering.model;
    for factor in model
        .inference
        .iter()
        .rev()
        .filter(|factor| !case.observed.contains(&factor.child))
    {
        if !is_class(model, factor.child) {
            continue;
        }
        let class = lowering.class_axis(factor.child);
        if lowering.graph.axes_of(value).contains(class) {
            debug_assert!(matches!(lowering.value(factor.child), Value::Enumerated(_)));
            let id = lowering.inference_of(factor.child);
            let log_q = lowering.log_prob(id);
            let q = lowering.graph.exp(log_q);
            value = lowering.graph.contract(q, value, &Axes::from(class));
        }
    }
    let sample = Axes::from(lowering.sample_axis());
    lowering.graph.mean(value, &sample)
}
