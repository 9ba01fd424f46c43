//! `regress w weight 0.1 * rows / labelled`: −log q(y | …) on labelled rows, for a numeric label.

use super::{Block, Draft, Line, Reader, classify};
use crate::{
    diagnostic::Diagnostic,
    id::Id,
    model::{CostContext, CostRows, CostTerm, Notation, Variable, Weight},
    names::REGRESSION,
    tensor::Node,
};
use std::sync::Arc;

/// weight · mean over labelled rows and samples of −log q(label | …).
#[derive(Debug)]
pub struct Regress {
    pub label: Id<Variable>,
    pub weight: Weight,
}

const KEYWORD: &str = "regress";

impl CostTerm for Regress {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn metric(&self) -> &'static str {
        REGRESSION
    }

    fn rows(&self) -> CostRows {
        CostRows::Labelled
    }

    fn population_weight(&self) -> Option<(&'static str, &Weight)> {
        Some((KEYWORD, &self.weight))
    }

    fn formula(&self, notation: &Notation) -> String {
        let q = notation.posterior(self.label);
        format!("+ {} · mean labelled (− log {q})", self.weight)
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let density = context.log_q(self.label);
        classify::weighted_loss(self, context, density)
    }
}

#[derive(Debug)]
pub struct RegressLine;

impl Line for RegressLine {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "regress w weight 0.1 * rows / labelled"
    }

    fn summary(&self) -> &'static str {
        "adds −log q of a numeric label on labelled rows"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, label) = reader.label("`regress` applies to a `label` that q infers")?;
        if reader.context.variable(label).is_class() {
            let title = format!("`{}` is a class", name.text);
            let help = format!("write `classify {}` for a class label", name.text);
            let mistake = Diagnostic::error(name.span, title).label("expected a numeric label");
            reader.report(mistake.help(help));
            return None;
        }
        let (weight, _) = classify::options(reader, "regress.weight", &["weight"])?;
        draft
            .objective
            .costs
            .push(Arc::new(Regress { label, weight }));
        Some(())
    }
}
