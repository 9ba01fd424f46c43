//! Data drawn from the generative graph.

use super::{Mode, case::Lowering, is_class};
use crate::{
    bound::FactorId,
    id::Id,
    layer::Value,
    model::{Checked, FactorKind, Role, Side, Variable},
    tensor::{Graph, OutputKind},
};

/// `rows` draws from p, parents before children. Class variables and those in `given` are inputs, the other latents are drawn;
/// of each data variable the mean given its parents is read: output `NAME`, axes row, feature.
pub fn generate(model: &Checked, rows: usize, given: &[Id<Variable>]) -> Graph {
    let mut lowering = Lowering::new(model, Mode::EVALUATE, 1);
    let is_given = |id: Id<Variable>| given.contains(&id) || is_class(model, id);
    let inputs: Vec<_> = (0..model.variables.len()).map(Id::new).filter(|&id| is_given(id)).collect();
    lowering.begin("generate", rows, &inputs);
    for (index, factor) in model.generative.iter().enumerate() {
        let child = factor.child;
        if is_given(child) || !matches!(factor.kind, FactorKind::Distribution { .. }) {
            continue;
        }
        let id = FactorId { side: Side::Generative, index };
        let declared = &model.variables[child.index()];
        let (distribution, heads) = lowering.distribution(id);
        let axis = lowering.feature_axis(child);
        let value = match declared.role {
            Role::Data => {
                let mean = distribution.mean(&mut lowering.graph, &heads, axis);
                lowering.set(child, mean);
                mean
            }
            _ => lowering.draw(id),
        };
        debug_assert!(matches!(lowering.value(child), Value::Dense(_)));
        let order = vec![lowering.row, axis];
        lowering.graph.output(OutputKind::Value, declared.name.clone(), value, order);
    }
    lowering.graph
}
