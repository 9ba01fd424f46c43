//! `classify y weight 0.1 * rows / labelled`: the cross-entropy of q(y | …) on labelled rows.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::{
    diagnostic::Diagnostic,
    id::Id,
    model::{CostContext, CostRows, CostTerm, Notation, Variable, Weight},
    names::{CLASSIFICATION, OutputName},
    syntax::ast::{Expression, ExpressionKind},
    tensor::Node,
};
use std::sync::Arc;

/// weight · mean over labelled rows and samples of −log q(label | …).
#[derive(Debug)]
pub struct Classify {
    pub label: Id<Variable>,
    pub weight: Weight,
}

const KEYWORD: &str = "classify";

impl CostTerm for Classify {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn metric(&self) -> &'static str {
        CLASSIFICATION
    }

    fn rows(&self) -> CostRows {
        CostRows::Labelled
    }

    fn population_weight(&self) -> Option<(&'static str, &Weight)> {
        Some(("weight", &self.weight))
    }

    fn formula(&self, notation: &Notation) -> String {
        let q = notation.posterior(self.label);
        format!("+ {} · mean labelled (− log {q})", self.weight)
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let label = &context.model().variables[self.label.index()].name;
        let density = context.log_q(self.label);
        let graph = context.graph();
        let axes = graph.axes_of(density).clone();
        let mean = graph.mean(density, &axes);
        let cross_entropy = graph.neg(mean);
        context.report(OutputName::metric(self.metric(), label), cross_entropy);
        let weight = context.weight(self);
        context.graph().mul(weight, cross_entropy)
    }
}

#[derive(Debug)]
pub struct ClassifyLine;

impl Line for ClassifyLine {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "classify y weight 0.1 * rows / labelled"
    }

    fn summary(&self) -> &'static str {
        "adds the cross-entropy of a label under q on labelled rows"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let help = "`classify` applies to a `label` that q infers";
        let (_, label) = reader.label(help)?;
        let weight = weight(reader)?;
        draft
            .objective
            .costs
            .push(Arc::new(Classify { label, weight }));
        Some(())
    }
}

/// `weight 0.1 * rows / labelled`, 1 if it is left out. The arithmetic may also use `rows` and
/// `labelled`, the numbers of training rows.
fn weight(reader: &mut Reader) -> Option<Weight> {
    let (written, span) = if reader.keyword("weight")? {
        let value = reader.take("a weight")?.clone();
        (arithmetic(reader.context, &value)?, value.span)
    } else {
        (Weight::Number(1.0), reader.span())
    };
    let argument = real("classify.weight", 0.0, 1e12);
    let given = reader.context.set(argument.name, &argument, None);
    let weight = given.map_or(written, Weight::Number);
    let example = weight.value(60_000.0, 100.0);
    if !example.is_finite() || example < 0.0 {
        let title = "a weight must be finite and at least 0";
        let label = format!("the weight is {example} for 60000 rows with 100 labels");
        reader.report(Diagnostic::error(span, title).label(label));
        return None;
    }
    Some(weight)
}

fn arithmetic(context: &mut dyn LineContext, value: &Expression) -> Option<Weight> {
    match &value.kind {
        ExpressionKind::Name(name) if context.is_size(name) => {
            context.number(value).map(Weight::Number)
        }
        ExpressionKind::Name(name) if name == "rows" => Some(Weight::Rows),
        ExpressionKind::Name(name) if name == "labelled" => Some(Weight::Labelled),
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (arithmetic(context, left), arithmetic(context, right));
            Some(Weight::Binary(*operator, Box::new(left?), Box::new(right?)))
        }
        ExpressionKind::Number(_) | ExpressionKind::Name(_) => {
            context.number(value).map(Weight::Number)
        }
        ExpressionKind::Call(call) => {
            let title = format!("`{}(…)` is not a weight", call.name.text);
            let help = "a weight is arithmetic over numbers, sizes, `rows` and `labelled`";
            context.report(Diagnostic::error(value.span, title).help(help));
            None
        }
    }
}
