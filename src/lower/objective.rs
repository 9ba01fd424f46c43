//! The loss of a batch: the bounds of its cases and the costs of the objective.

use super::{
    Mode,
    builder::{Averages, Builder, RunningAverages, empty_graph},
    case::{Cache, Case},
    cost::CostCase,
    entry::{Entry, total},
    joint::Joint,
    term,
    weight::{ramp_value, term_weight},
};
use crate::{
    bound::{self, Bounds, CaseKind},
    id::Id,
    model::{CostRows, CostTerm, Model, Role, WeightTarget},
    names::OutputName,
    tensor::{Axes, Graph, Node, OutputKind, Scalar},
};

/// The loss of one batch, `rows[i]` rows of case i, with every running average's next value.
///
/// Outputs, beside [`OutputName::Loss`]: for each case the mean bound over its rows, the bound of
/// each row and the mean of each term; and the metrics that costs report, such as
/// `classification.LABEL`. Weights that change in training, or that depend on the training rows,
/// are inputs: see [`Model::scheduled`] and [`Model::population_weights`].
///
/// # Panics
///
/// If `rows` has another number of cases than `bounds`.
pub fn train(model: &Model, bounds: &Bounds, rows: &[usize], mode: Mode) -> Graph {
    assert_eq!(
        bounds.cases.len(),
        rows.len(),
        "each case has a number of rows"
    );
    let mut graph = empty_graph();
    let mut running = RunningAverages::new();
    let mut loss = Vec::new();
    let last = rows.iter().rposition(|&rows| rows > 0);
    let joint = Joint::new(&mut graph, model, bounds, rows);
    for (number, (case, &rows)) in bounds.cases.iter().zip(rows).enumerate() {
        if rows == 0 {
            continue;
        }
        let samples = model.objective.samples;
        let mut builder = Builder::new(&mut graph, &mut running, mode, samples, case.kind, rows);
        // Evaluation infers variables as the last case does. Statistics of other cases are of other
        // values, so they do not update the running averages.
        let is_last = last == Some(number);
        if is_last {
            builder.averages = Averages::Moved;
        }
        let mut cache = Cache::default();
        let mut lowered = Case::begin(model, builder, &case.observed, &mut cache);
        lowered.observe_partly(&case.partly);
        lowered.joint = joint.as_ref();
        lowered.share();
        // Evaluation reads the statistics of labels, which steps on unlabelled rows may not.
        for label in model.with_role(Role::Label) {
            lowered.standardization(label);
        }
        let is_left_out = mode == Mode::TRAIN && !is_last && weighs_nothing(model, case.kind);
        loss.extend(case_loss(&mut lowered, case, is_left_out));
        costs(&mut lowered, case.kind, is_last, &mut loss);
    }
    graph.set_origin("loss");
    let loss = graph.total(loss);
    graph.output(OutputKind::Value, OutputName::Loss, loss, Vec::new());
    for (name, node) in running {
        let stored = graph
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        let axes = stored
            .expect("a running average is declared before it moves")
            .axes
            .clone();
        graph.output(OutputKind::Next, name, node, axes);
    }
    graph
}

/// Adds the costs of a case to the loss. The last case has every training row, if there are any. A
/// cost of each case that reads only shared networks reads the rows of all cases together, once.
fn costs(case: &mut Case, kind: CaseKind, is_last: bool, loss: &mut Vec<Node>) {
    let model = case.model;
    let joint = case.joint;
    let is_shared = |cost: &dyn CostTerm| {
        let mut reads = cost.reads().into_iter();
        let shared = |joint: &Joint| reads.all(|variable| joint.shares(model, variable));
        cost.rows() == CostRows::EachCase && joint.is_some_and(shared)
    };
    let mut context = CostCase::new(case);
    for cost in &model.objective.costs {
        if is_shared(cost.as_ref()) {
            if is_last {
                loss.extend(context.lower_jointly(cost.as_ref()));
            }
            continue;
        }
        let reads_case = match cost.rows() {
            CostRows::Labelled => kind == CaseKind::Labelled,
            CostRows::EachCase => true,
            CostRows::Unlabelled => is_last,
        };
        if reads_case {
            loss.push(context.lower(cost.as_ref()));
        }
    }
}

/// Whether the bound of a case has the weight 0 throughout, as that of labelled rows may.
fn weighs_nothing(model: &Model, kind: CaseKind) -> bool {
    let ramp = model.objective.labelled;
    let mut ramp = ramp.iter().filter(|_| kind == CaseKind::Labelled);
    ramp.any(|ramp| !ramp.changes() && ramp.weight == 0.0)
}

/// −(mean bound), with weights and free bits on the terms of inferred variables. Reports the bound
/// without them, but with the weights of rows. None for a classifier, which has no bound. A bound that is left out only declares its
/// parameters, so that their layout does not depend on weights.
fn case_loss(case: &mut Case, bounds: &bound::Case, is_left_out: bool) -> Option<Node> {
    let mut entries = term::entries(case, &bounds.bound);
    if entries.is_empty() {
        // Evaluation needs the running averages of these rows, even if no cost reads them.
        case.infer();
        return None;
    }
    if is_left_out {
        return None;
    }
    let (kind, row) = (bounds.kind, Axes::from(case.builder.row()));
    case.builder.graph.set_origin(&format!("{kind} bound"));
    if let Some(weight) = case.row_weight() {
        for entry in &mut entries {
            entry.node = case.builder.graph.mul(weight, entry.node);
        }
    }
    let per_row = total(case.builder.graph, &entries);
    let bound = case.builder.graph.mean(per_row, &row);
    let output = |case: &mut Case, name: OutputName, node: Node, axes: Vec<_>| {
        case.builder
            .graph
            .output(OutputKind::Value, name, node, axes);
    };
    output(case, OutputName::CaseBound(kind), bound, Vec::new());
    let rows = vec![case.builder.row()];
    output(case, OutputName::PerRow(kind), per_row, rows);
    let mut objective = weighted(case, &entries, bound);
    for Entry { name, node, .. } in &entries {
        let Some(term) = name.clone() else {
            continue;
        };
        let mean = case.builder.graph.mean(*node, &row);
        output(case, OutputName::CaseTerm(kind, term), mean, Vec::new());
    }
    let ramp = case.model.objective.labelled;
    if let Some(ramp) = ramp.filter(|_| kind == CaseKind::Labelled) {
        let weight = ramp_value(case, WeightTarget::LabelledBound, ramp);
        objective = case.builder.graph.mul(weight, objective);
    }
    Some(case.builder.graph.neg(objective))
}

/// The mean bound, with the terms of inferred variables clamped at their free bits and multiplied by
/// their weights. Weighted terms are removed from the others, and not corrected by a difference, which
/// would lose precision.
fn weighted(case: &mut Case, entries: &[Entry], bound: Node) -> Node {
    let model = case.model;
    let row = Axes::from(case.builder.row());
    let (mut unweighted, mut parts) = (entries.to_vec(), Vec::new());
    for (index, variable) in model.variables.iter().enumerate() {
        let id = Id::new(index);
        let free = model
            .objective
            .free_bits
            .iter()
            .find(|(free, _)| *free == id)
            .map(|(_, nats)| *nats);
        let weight = term_weight(case, id);
        if weight.is_none() && free.is_none() {
            continue;
        }
        let terms: Vec<Entry> = unweighted
            .extract_if(.., |entry| entry.adds && entry.belongs_to(&variable.name))
            .collect();
        if terms.is_empty() {
            continue;
        }
        let graph = &mut *case.builder.graph;
        let terms = total(graph, &terms);
        let mean = graph.mean(terms, &row);
        let clamped = match free {
            Some(nats) => {
                let most = graph.constant(-nats);
                graph.scalar(Scalar::Min, &[mean, most])
            }
            None => mean,
        };
        parts.push(weight.map_or(clamped, |weight| graph.mul(weight, clamped)));
    }
    if parts.is_empty() {
        return bound;
    }
    let graph = &mut *case.builder.graph;
    let unweighted = total(graph, &unweighted);
    parts.push(graph.mean(unweighted, &row));
    graph.total(parts)
}
