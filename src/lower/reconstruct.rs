//! The program that reconstructs rows: the mean of each data variable given what is inferred.

use super::{
    builder::{RunningAverages, empty_graph},
    case::{Cache, Case},
    evaluate::{Evaluate, average},
};
use crate::{
    bound::{self, FactorId},
    model::{Model, Role, Side},
    names::OutputName,
    tensor::{Graph, OutputKind},
};

/// The reconstruction of a batch of rows in evaluation. For each data variable, the output
/// `reconstruct.NAME` (axes row, feature) is its mean given its parents in p, which are observed or
/// drawn from q: averaged over the samples, and over the classes by q's probabilities. The mean of a class is the
/// probability of each of its values. Means of standardized data are in the data's own units.
pub fn reconstruct(model: &Model, bounds: &bound::Case, what: Evaluate) -> Graph {
    let (mut graph, mut running) = (empty_graph(), RunningAverages::new());
    let mut cache = Cache::default();
    let builder = what.builder(&mut graph, &mut running, bounds.kind);
    let mut case = Case::begin(model, builder, &bounds.observed, &mut cache);
    case.observe_partly(&bounds.partly);
    case.resample(model.inference.len(), |case| {
        for (index, factor) in model.generative.iter().enumerate() {
            let child = case.variable(factor.child);
            if child.role != Role::Data {
                continue;
            }
            let mean = case.mean(FactorId {
                side: Side::Generative,
                index,
            });
            let mean = match case.standardization(factor.child) {
                Some(standardization) => standardization.invert(case.builder.graph, mean),
                None => mean,
            };
            let mean = average(case, mean);
            let order = vec![case.builder.row(), case.feature_axis(factor.child)];
            let name = OutputName::Reconstruct(child.name.clone());
            case.builder
                .graph
                .output(OutputKind::Value, name, mean, order);
        }
    });
    graph
}
