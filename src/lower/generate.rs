//! The program that draws data from the generative graph.

use super::{
    Mode,
    builder::{Builder, RunningAverages, empty_graph},
    case::{Cache, Case},
};
use crate::{
    bound::FactorId,
    distribution::Domain,
    id::Id,
    model::{FactorKind, Model, Role, Side, Variable},
    names::{CaseKind, OutputName},
    tensor::{Graph, OutputKind},
};

/// `rows` draws from p, parents before children. Class variables, variables with the role `given` and
/// those in `fixed` are inputs, and the other latents are drawn. Each variable is an output `NAME` (axes
/// row, feature); that of a data
/// variable is its mean given its parents. A data variable `z` that another model infers is a latent:
/// it is drawn, and that model's data `x` given `z` are the output `from.z.x`.
pub fn generate(model: &Model, rows: usize, fixed: &[Id<Variable>]) -> Graph {
    let is_input = |id: &Id<Variable>| {
        let variable = &model.variables[id.index()];
        fixed.contains(id) || variable.domain == Domain::Class || variable.role == Role::Given
    };
    let inputs: Vec<Id<Variable>> = (0..model.variables.len())
        .map(Id::new)
        .filter(is_input)
        .collect();
    let (mut graph, mut running) = (empty_graph(), RunningAverages::new());
    let builder = Builder::new(
        &mut graph,
        &mut running,
        Mode::GENERATE,
        1,
        CaseKind::Generated,
        rows,
    );
    let mut cache = Cache::default();
    descend(
        &mut Case::begin(model, builder, &inputs, &mut cache),
        &inputs,
    );
    graph
}

/// Draws every variable of p except those in `fixed`, which have values.
fn descend(case: &mut Case, fixed: &[Id<Variable>]) {
    let model = case.model;
    for (index, factor) in model.generative.iter().enumerate() {
        let child = factor.child;
        if fixed.contains(&child) || !matches!(factor.kind, FactorKind::Distribution { .. }) {
            continue;
        }
        let id = FactorId {
            side: Side::Generative,
            index,
        };
        let declared = case.variable(child);
        let axis = case.feature_axis(child);
        let upstream = model
            .upstream
            .iter()
            .find(|upstream| upstream.variable == child);
        let value = if declared.role == Role::Data && upstream.is_none() {
            let mean = case.mean(id);
            case.set(child, mean);
            mean
        } else {
            case.draw(id)
        };
        let value = match case.standardization(child) {
            Some(standardization) => standardization.invert(case.builder.graph, value),
            None => value,
        };
        let order = vec![case.builder.row(), axis];
        let name = OutputName::Array(format!("{}{}", case.builder.scope, declared.name));
        case.builder
            .graph
            .output(OutputKind::Value, name, value, order);
        if let Some(upstream) = upstream {
            case.within(upstream, &[], |inner| {
                inner.set(upstream.latent, value);
                descend(inner, &[upstream.latent]);
            });
        }
    }
}
