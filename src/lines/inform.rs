//! `inform y weight 1`: information maximisation (Krause et al. 2010; Hu et al. 2017). The class of
//! a row should be certain, and all classes should be used.
//!
//! The mutual information of row and label is I = H(mean q) − mean H(q): the second term makes each
//! prediction certain, and the first keeps the predictions from being all the same.

use super::{Block, Draft, Line, Reader, reader::real};
use crate::{
    id::Id,
    model::{CostContext, CostRows, CostTerm, Notation, Variable},
    names::OutputName,
    tensor::{Axes, Node},
};
use std::sync::Arc;

/// −weight · I, over rows and samples.
#[derive(Debug)]
pub struct Inform {
    pub label: Id<Variable>,
    pub weight: f64,
}

/// Keeps the logarithm finite for a class that no row has.
const TINY: f64 = 1e-30;

const KEYWORD: &str = "inform";

impl CostTerm for Inform {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn metric(&self) -> &'static str {
        "information"
    }

    fn rows(&self) -> CostRows {
        CostRows::Unlabelled
    }

    fn formula(&self, notation: &Notation) -> String {
        let (q, mean) = (notation.posterior(self.label), notation.mean_unlabelled());
        format!("− {} · (H({mean} {q}) − {mean} H({q}))", self.weight)
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let name = &context.model().variables[self.label.index()].name;
        context.set_origin(&format!("information of q({name} | …)"));
        let logs = context.log_probabilities(self.label, &[]);
        let class = Axes::from(context.features(self.label));
        let graph = context.graph();
        let q = graph.exp(logs);
        let rows = graph.axes_of(q).minus(&class);
        let negative_entropy = graph.contract(q, logs, &class);
        let negative_entropy = graph.mean(negative_entropy, &rows);
        let marginal = graph.mean(q, &rows);
        let positive = graph.shift(marginal, TINY);
        let log_marginal = graph.log(positive);
        let negative_marginal_entropy = graph.contract(marginal, log_marginal, &class);
        let information = graph.sub(negative_entropy, negative_marginal_entropy);
        context.report(OutputName::metric(self.metric(), name), information);
        context.graph().scale(information, -self.weight)
    }
}

#[derive(Debug)]
pub struct InformLine;

impl Line for InformLine {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "inform y weight 1"
    }

    fn summary(&self) -> &'static str {
        "subtracts the mutual information of row and label under q"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let help = "`inform` applies to a `label` that q infers";
        let (name, label) = reader.label(help)?;
        reader.has_prediction(&name, label)?;
        let weight = reader.weight_of(real(KEYWORD, 0.0, 1e6), &name.text)?;
        draft
            .objective
            .costs
            .push(Arc::new(Inform { label, weight }));
        Some(())
    }
}
