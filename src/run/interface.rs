//! The interfaces of a model's programs: parameters, inputs and outputs. A plan from a file must
//! agree with the model in the same folder.

use super::{
    programs::{batch_rows, evaluation},
    session::Layout,
};
use crate::{
    driver,
    id::Id,
    lower::{self, Mode},
    model::Model,
    plan::{Buffer, Plan, Storage},
    tensor::{Axis, Graph, Op, OutputKind},
};
use std::collections::BTreeMap;

/// The graphs of a model's programs, without gradients. They have the interfaces of the programs.
pub(super) struct Interfaces {
    gradient: Graph,
    steady: Option<Graph>,
    update: Graph,
    evaluate: Graph,
}

impl Interfaces {
    pub fn new(model: &Model) -> Self {
        let (trained, steady) = match model.steady_state() {
            // The state at the first step.
            Some((0, steady)) => (steady, None),
            steady => (model.clone(), steady.map(|(_, steady)| steady)),
        };
        let step = |model: &Model| {
            let objective = driver::derive(model);
            driver::lower(model, &objective, &batch_rows(model), Mode::TRAIN)
        };
        let gradient = step(&trained);
        let layout = Layout::new(&gradient.parameters, &gradient.axes);
        let (case, what) = evaluation(model);
        Interfaces {
            update: lower::update(model, |group| layout.range(group).len()),
            evaluate: lower::evaluate(model, &case, what),
            steady: steady.map(|model| step(&model)),
            gradient,
        }
    }

    /// The first difference between a program's plan and the model; `None` if they agree.
    pub fn disagreement(&self, program: &str, plan: &Plan) -> Option<String> {
        let graph = match program {
            "gradient" => &self.gradient,
            "settled" => match &self.steady {
                Some(steady) => steady,
                None => return Some("the model does not have this program".to_string()),
            },
            "update" => &self.update,
            _ => &self.evaluate,
        };
        let gradients = matches!(program, "gradient" | "settled");
        parameters(graph, plan)
            .or_else(|| inputs(graph, plan))
            .or_else(|| outputs(graph, plan))
            .or_else(|| results(graph, plan, gradients))
    }
}

/// The axes of these ids, outermost first.
fn resolved(axes: &[Axis], ids: impl IntoIterator<Item = Id<Axis>>) -> Vec<&Axis> {
    ids.into_iter().map(|id| &axes[id.index()]).collect()
}

/// The axes of these ids, in an order that does not depend on the layout.
fn sorted(axes: &[Axis], ids: impl IntoIterator<Item = Id<Axis>>) -> Vec<&Axis> {
    let mut resolved = resolved(axes, ids);
    resolved.sort_by_key(|axis| (axis.kind, &axis.name, axis.size));
    resolved
}

fn parameters(graph: &Graph, plan: &Plan) -> Option<String> {
    if plan.parameters.len() != graph.parameters.len() {
        let (found, wanted) = (plan.parameters.len(), graph.parameters.len());
        return Some(format!("expected {wanted} parameters, found {found}"));
    }
    let pairs = plan.parameters.iter().zip(&graph.parameters);
    let mut differing = pairs.filter(|(found, wanted)| {
        let axes = resolved(&plan.axes, found.axes.iter().copied());
        (&found.name, found.start, found.trained) != (&wanted.name, wanted.start, wanted.trained)
            || axes != resolved(&graph.axes, wanted.axes.iter().copied())
    });
    let (_, wanted) = differing.next()?;
    Some(format!(
        "parameter `{}` has another place or shape",
        wanted.name
    ))
}

fn buffers(plan: &Plan, storage: Storage) -> impl Iterator<Item = &Buffer> {
    plan.buffers
        .iter()
        .filter(move |buffer| buffer.storage == storage)
}

/// Checks that every input is an input of the model. A program need not read all inputs.
fn inputs(graph: &Graph, plan: &Plan) -> Option<String> {
    let given = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::Input { name, .. } => Some((name.as_str(), sorted(&graph.axes, node.axes.iter()))),
        _ => None,
    });
    let given: BTreeMap<&str, Vec<&Axis>> = given.collect();
    let mut others = buffers(plan, Storage::Input).filter(|buffer| {
        let axes = sorted(&plan.axes, buffer.axes.iter().copied());
        given.get(buffer.name.as_str()) != Some(&axes)
    });
    let name = &others.next()?.name;
    Some(format!("input `{name}` differs from the model's inputs"))
}

fn outputs(graph: &Graph, plan: &Plan) -> Option<String> {
    let values = graph
        .outputs
        .iter()
        .filter(|output| output.kind == OutputKind::Value);
    let given = values.map(|output| {
        let axes = resolved(&graph.axes, output.axes.iter().copied());
        (output.name.to_string(), axes)
    });
    let given: BTreeMap<String, Vec<&Axis>> = given.collect();
    let found: BTreeMap<String, Vec<&Axis>> = buffers(plan, Storage::Output)
        .map(|buffer| {
            let axes = resolved(&plan.axes, buffer.axes.iter().copied());
            (buffer.name.clone(), axes)
        })
        .collect();
    let missing = given
        .iter()
        .find(|(name, axes)| found.get(name.as_str()) != Some(*axes))
        .or_else(|| {
            found
                .iter()
                .find(|(name, _)| !given.contains_key(name.as_str()))
        });
    missing.map(|(name, _)| format!("output `{name}` differs from the model's outputs"))
}

/// Checks that every trained parameter has a gradient, and that the program replaces the same
/// parameters as the model.
fn results(graph: &Graph, plan: &Plan, gradients: bool) -> Option<String> {
    let replaced = graph
        .outputs
        .iter()
        .filter(|output| output.kind == OutputKind::Next);
    let replaced: Vec<String> = replaced.map(|output| output.name.to_string()).collect();
    let written = plan.written();
    for (index, parameter) in plan.parameters.iter().enumerate() {
        let name = parameter.name.as_str();
        let has_gradient = buffers(plan, Storage::Gradient(index)).next().is_some();
        if has_gradient != (gradients && parameter.trained) {
            return Some(format!("the gradient of `{name}` differs from the model's"));
        }
        let is_replaced = plan
            .buffers
            .iter()
            .zip(&written)
            .any(|(buffer, written)| *written && buffer.storage == Storage::Parameter(index));
        if is_replaced != replaced.iter().any(|replaced| replaced == name) {
            return Some(format!(
                "the next value of `{name}` differs from the model's"
            ));
        }
    }
    None
}
