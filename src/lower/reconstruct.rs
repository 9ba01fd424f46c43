//! The program that reconstructs rows: the mean of each data variable given what is inferred.

use super::{
    builder::{RunningAverages, empty_graph},
    case::{Cache, Case},
    evaluate::{Evaluate, average},
};
use crate::{
    bound::{self, FactorId},
    id::Id,
    model::{Model, Role, Side, Variable},
    names::OutputName,
    tensor::{Graph, Node, OutputKind},
};

/// A value of a `given` variable, which takes the place of the rows' values in p.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The variable.
    pub variable: Id<Variable>,
    /// The number of a class, or a number for each feature, in the units of the data.
    pub values: Vec<f64>,
}

/// The reconstruction of a batch of rows in evaluation. For each data variable, the output
/// `reconstruct.NAME` (axes row, feature) is its mean given its parents in p, which are observed or
/// drawn from q: averaged over the samples, and over the classes by q's probabilities. The mean of a class is the
/// probability of each of its values. Means of standardized data are in the data's own units.
///
/// If there are `given` values, the means are averaged over them, each of which replaces values of the
/// rows in p. What q infers depends on the values of the rows.
pub fn reconstruct(
    model: &Model,
    bounds: &bound::Case,
    what: Evaluate,
    given: &[Vec<Given>],
) -> Graph {
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
            let id = FactorId {
                side: Side::Generative,
                index,
            };
            let mean = match given {
                [] => mean_in_units(case, id),
                _ => {
                    let means = given.iter().map(|given| mean_given(case, id, given));
                    let means: Vec<Node> = means.collect();
                    let sum = case.builder.graph.total(means);
                    let share = 1.0 / given.len() as f64;
                    case.builder.graph.scale(sum, share)
                }
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

/// The mean of a factor's child in the units of the data.
fn mean_in_units(case: &mut Case, id: FactorId) -> Node {
    let mean = case.mean(id);
    let child = id.factor(case.model).child;
    match case.standardization(child) {
        Some(standardization) => standardization.invert(case.builder.graph, mean),
        None => mean,
    }
}

/// The same where p reads these values of given variables.
fn mean_given(case: &mut Case, id: FactorId, given: &[Given]) -> Node {
    let mut cache = case.drawn_values();
    let mut pass = case.pass(&mut cache);
    for given in given {
        pass.set_given(given.variable, &given.values);
    }
    mean_in_units(&mut pass, id)
}
