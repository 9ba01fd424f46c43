//! Information maximisation (Krause et al. 2010; Hu et al. 2017): a row shall say much of its label
//! under q.
//!
//! The mutual information of row and label is I = H(mean q) − mean H(q): the second term makes each
//! prediction a decision, the first keeps these from being all alike.

use super::case::Lowering;
use crate::{
    model::Inform,
    names::OutputName,
    tensor::{Axes, Node, OutputKind},
};

/// What keeps the logarithm of a class that no row has from being that of 0.
const TINY: f64 = 1e-30;

impl Lowering<'_> {
    /// −weight · I for each `inform` line, over the rows and samples of the case that was lowered
    /// last.
    pub(super) fn information(&mut self) -> Vec<Node> {
        let model = self.model;
        model
            .objective
            .inform
            .iter()
            .map(|inform| self.informed(inform))
            .collect()
    }

    fn informed(&mut self, inform: &Inform) -> Node {
        let name = &self.model.variables[inform.label.index()].name;
        self.graph
            .set_origin(&format!("{} information of q({name} | …)", self.case));
        let logs = self.log_probabilities(inform.label, &[]);
        let class = Axes::from(self.feature_axis(inform.label));
        let graph = &mut self.graph;
        let q = graph.exp(logs);
        let rows = graph.axes_of(q).minus(&class);
        let of_each = graph.contract(q, logs, &class);
        let of_each = graph.mean(of_each, &rows);
        let marginal = graph.mean(q, &rows);
        let safe = graph.shift(marginal, TINY);
        let log_marginal = graph.log(safe);
        let of_mean = graph.contract(marginal, log_marginal, &class);
        let information = graph.sub(of_each, of_mean);
        graph.output(
            OutputKind::Value,
            OutputName::metric("information", name),
            information,
            Vec::new(),
        );
        graph.scale(information, -inform.weight)
    }
}
