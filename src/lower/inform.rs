//! `inform`: information maximisation (Krause et al. 2010; Hu et al. 2017). The class of a row
//! should be certain, and all classes should be used.
//!
//! The mutual information of row and label is I = H(mean q) − mean H(q): the second term makes each
//! prediction certain, the first keeps the predictions from being all alike.

use super::cost::CostContext;
use crate::{
    model::Inform,
    names::OutputName,
    tensor::{Axes, Node},
};

/// Keeps the logarithm of a class that no row has finite.
const TINY: f64 = 1e-30;

/// −weight · I over the rows and samples of the case.
pub(super) fn cost<'m>(context: &mut dyn CostContext<'m>, line: &'m Inform) -> Node {
    let name = &context.model().variables[line.label.index()].name;
    context.set_origin(&format!("information of q({name} | …)"));
    let logs = context.log_probabilities(line.label, &[]);
    let class = Axes::from(context.features(line.label));
    let graph = context.graph();
    let q = graph.exp(logs);
    let rows = graph.axes_of(q).minus(&class);
    let negative_entropy = graph.contract(q, logs, &class);
    let negative_entropy = graph.mean(negative_entropy, &rows);
    let marginal = graph.mean(q, &rows);
    let positive = graph.shift(marginal, TINY);
    let log_marginal = graph.log(positive);
    let of_marginal = graph.contract(marginal, log_marginal, &class);
    let information = graph.sub(negative_entropy, of_marginal);
    context.report(OutputName::metric("information", name), information);
    context.graph().scale(information, -line.weight)
}
