//! `inform y weight 1`: information maximisation (Krause et al. 2010; Hu et al. 2017). A row shall
//! say much of its label under q.
//!
//! The mutual information of row and label is I = H(mean q) − mean H(q): the second term makes each
//! prediction a decision, the first keeps predictions from being all alike.

use super::{Block, Draft, Line, Reader, reader::real};
use crate::{
    id::Id,
    model::{Cost, CostRows, Notation, Variable},
};
use std::sync::Arc;

/// −weight · I, over rows and samples.
#[derive(Debug)]
pub struct Inform {
    pub label: Id<Variable>,
    pub weight: f64,
}

const KEYWORD: &str = "inform";

impl Cost for Inform {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn rows(&self) -> CostRows {
        CostRows::Unlabelled
    }

    fn formula(&self, notation: &Notation) -> String {
        let (q, mean) = (notation.posterior(self.label), notation.mean_unlabelled());
        format!("− {} · (H({mean} {q}) − {mean} H({q}))", self.weight)
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
        let help = "`inform` is about the prediction of a `label` that q infers";
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
