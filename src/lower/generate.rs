//! Data drawn from the generative graph.

use super::{Mode, case::Lowering, is_class};
use crate::{
    bound::FactorId,
    id::Id,
    layer::Value,
    model::{FactorKind, Model, Role, Side, Variable},
    names::{CaseKind, OutputName},
    tensor::{Graph, OutputKind},
};

/// `rows` draws from p, parents before children. Class variables and those in `given` are inputs,
/// the other latents are drawn; of each data variable the mean given its parents is read: output
/// `NAME`, axes row, feature. A data variable `z` that another model infers is a latent of the
/// whole: it is drawn, and that model's data `x` given it are the output `from.z.x`.
pub fn generate(model: &Model, rows: usize, given: &[Id<Variable>]) -> Graph {
    let mut lowering = Lowering::new(model, Mode::EVALUATE, 1);
    let is_given = |id: &Id<Variable>| given.contains(id) || is_class(model, *id);
    let inputs: Vec<_> = (0..model.variables.len())
        .map(Id::new)
        .filter(is_given)
        .collect();
    lowering.begin(CaseKind::Generated, rows, &inputs);
    lowering.descend(&inputs);
    lowering.graph
}

impl Lowering<'_> {
    /// Every variable of p but those that are known, which have their values already.
    fn descend(&mut self, known: &[Id<Variable>]) {
        let model = self.model;
        for (index, factor) in model.generative.iter().enumerate() {
            let child = factor.child;
            if known.contains(&child) || !matches!(factor.kind, FactorKind::Distribution { .. }) {
                continue;
            }
            let id = FactorId {
                side: Side::Generative,
                index,
            };
            let declared = &model.variables[child.index()];
            let axis = self.feature_axis(child);
            let upstream = model
                .upstream
                .iter()
                .find(|upstream| upstream.variable == child);
            let value = if declared.role == Role::Data && upstream.is_none() {
                let (distribution, heads) = self.distribution(id);
                let mean = distribution.mean(&mut self.graph, &heads, axis);
                let mean = self.mean_of_components(id, mean);
                self.set(child, mean);
                mean
            } else {
                self.draw(id)
            };
            debug_assert!(matches!(self.value(child), Value::Dense(_)));
            let order = vec![self.row, axis];
            let name = format!("{}{}", self.scope, declared.name);
            self.graph
                .output(OutputKind::Value, OutputName::Array(name), value, order);
            if let Some(upstream) = upstream {
                self.within(upstream, &[], |inner| {
                    inner.set(upstream.latent, value);
                    inner.descend(&[upstream.latent]);
                });
            }
        }
    }
}
