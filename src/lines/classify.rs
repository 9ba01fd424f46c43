//! `classify y weight 0.1 * rows / labelled`: the cross-entropy of q(y | …) on labelled rows. With
//! `balanced`, each class counts the same.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    model::{Batch, CostContext, CostRows, CostTerm, Notation, Variable, Weight},
    names::{CLASSIFICATION, OutputName},
    syntax::ast::{Expression, ExpressionKind},
    tensor::Node,
};
use std::sync::Arc;

/// weight · mean over labelled rows and samples of −log q(label | …), each row times the weight of its
/// class if classes are balanced.
#[derive(Debug)]
pub struct Classify {
    pub label: Id<Variable>,
    pub weight: Weight,
    /// Whether each class counts the same, however many labelled rows it has.
    pub balanced: bool,
}

const BALANCED: &str = "balanced";
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
        let class = match self.balanced {
            true => format!("w({}) ", notation.name(self.label)),
            false => String::new(),
        };
        format!("+ {} · mean labelled (− {class}log {q})", self.weight)
    }

    fn remark(&self, notation: &Notation) -> Option<String> {
        let name = notation.name(self.label);
        self.balanced.then(|| {
            format!(
                "w({name}) is 1 / (number of classes · frequency of the class) among the labelled \
                 training rows, so each class of `{name}` counts the same"
            )
        })
    }

    fn weighs_classes(&self) -> bool {
        self.balanced
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let mut density = context.log_q(self.label);
        if self.balanced {
            let class_weight = context.class_weight(self.label);
            density = context.graph().mul(density, class_weight);
        }
        weighted_loss(self, context, density)
    }
}

/// The cost of a label: its weight times the mean of −`density`, times the weights of rows, over the rows
/// that have the label. Reports the mean.
pub(super) fn weighted_loss(
    cost: &dyn CostTerm,
    context: &mut dyn CostContext<'_>,
    density: Node,
) -> Node {
    let name = &context.model().variables[cost.subject().index()].name;
    let density = match context.row_weight() {
        Some(weight) => context.graph().mul(weight, density),
        None => density,
    };
    let mean = context.mean_known(cost.subject(), density);
    let loss = context.graph().neg(mean);
    context.report(OutputName::metric(cost.metric(), name), loss);
    let weight = context.weight(cost);
    context.graph().mul(weight, loss)
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
        "adds the cross-entropy of a label under q on labelled rows; `balanced`: for equal classes"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let help = "`classify` applies to a `label` that q infers";
        let (name, label) = reader.label(help)?;
        if !reader.context.variable(label).is_class() {
            let title = format!("`{}` is not a class", name.text);
            let help = format!("write `regress {}` for a numeric label", name.text);
            let mistake = Diagnostic::error(name.span, title).label("expected a class label");
            reader.report(mistake.help(help));
            return None;
        }
        let (weight, balanced) = options(reader, "classify.weight", &["weight", BALANCED])?;
        let cost = Classify {
            label,
            weight,
            balanced,
        };
        draft.objective.costs.push(Arc::new(cost));
        Some(())
    }

    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        let is_balanced = matches!(draft.training.batch, Batch::Cases { balanced: true, .. });
        let mut costs = draft.objective.costs.iter();
        if is_balanced && costs.any(|cost| cost.weighs_classes()) {
            let title = "the classes are balanced twice: by `classify` and by `batch`";
            let help = "remove `balanced` from one of the two lines, else rare classes count more \
                        than others";
            context.report(Diagnostic::error(Span::default(), title).help(help));
        }
    }
}

/// `weight 0.1 * rows / labelled` and `balanced`, each of which may be left out. `set` is the name of the
/// weight in `--set`.
pub(super) fn options(
    reader: &mut Reader,
    set: &'static str,
    choices: &[&'static str],
) -> Option<(Weight, bool)> {
    let (mut weight, mut span, mut balanced) = (None, reader.span(), false);
    while reader.peek().is_some() {
        let option = reader.choice(choices)?;
        let is_repeated = match option {
            BALANCED => std::mem::replace(&mut balanced, true),
            _ => {
                let value = reader.take("a weight")?.clone();
                span = value.span;
                weight
                    .replace(arithmetic(reader.context, &value)?)
                    .is_some()
            }
        };
        if is_repeated {
            let title = format!("`{option}` is given twice");
            let span = reader.span();
            reader.report(Diagnostic::error(span, title).help("keep one of the two"));
        }
    }
    let written = weight.unwrap_or(Weight::Number(1.0));
    Some((in_range(reader, written, span, set)?, balanced))
}

/// The weight, or that of `--set`. Reports one that is negative or infinite.
fn in_range(reader: &mut Reader, written: Weight, span: Span, set: &'static str) -> Option<Weight> {
    let argument = real(set, 0.0, 1e12);
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

/// The arithmetic may also use `rows` and `labelled`, the numbers of training rows.
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
