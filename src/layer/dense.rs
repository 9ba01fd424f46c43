//! The linear layer, and the linear map from several parts, which heads also use.

use super::{Argument, Context, LEFT_OUT, Layer, Misfit, Part, Value, flat};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Node, Start},
};

#[derive(Debug)]
pub struct Dense;

impl Layer for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn arguments(&self) -> &'static [Argument] {
        const ARGUMENTS: &[Argument] = &[
            Argument::count("size", None, 1.0),
            Argument::count("height", Some(LEFT_OUT), 1.0),
            Argument::count("width", Some(LEFT_OUT), 1.0),
        ];
        ARGUMENTS
    }

    fn outputs(&self, _: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        let given: Vec<usize> = arguments
            .iter()
            .filter(|argument| !argument.is_nan())
            .map(|&size| size as usize)
            .collect();
        if given.len() == 2 {
            return Err(Misfit {
                why: "an image needs both a height and a width".to_string(),
                help: "write `dense(size)`, or `dense(channels, height, width)` for an image"
                    .to_string(),
                depends_on_inputs: false,
            });
        }
        Ok(given)
    }

    fn joins(&self) -> bool {
        true
    }

    fn weighs_parents(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        let shape = self
            .outputs(&[], arguments)
            .expect("check has seen the arguments");
        let parts: Vec<Part> = parts.iter().map(|part| flat(context, part)).collect();
        let out = context.new_axis("", shape.iter().product(), AxisKind::Feature);
        let start = |inputs, outputs| Start::HiddenWeight { inputs, outputs };
        Part::output(
            linear(context, &parts, out, &start, Start::Bias),
            vec![out],
            shape,
        )
    }
}

/// bias + Σ over parts of weight · part, over the features `out`. Each named part has a weight
/// `weight.PART` [out, in]; a nameless part has `weight`. The terms with the fewest axes are summed
/// first, so that no sum is repeated along axes that its terms lack.
pub fn linear(
    context: &mut dyn Context,
    parts: &[Part],
    out: Id<Axis>,
    start: &dyn Fn(usize, usize) -> Start,
    bias: Start,
) -> Node {
    let mut terms = vec![context.parameter("bias", &[out], bias)];
    for part in parts {
        let part = flat(context, part);
        terms.push(term(context, &part, out, start));
    }
    total(context, terms)
}

/// Σ over parts of weight · part, as [`linear`] without a bias; 0 without parts.
pub fn weighted(
    context: &mut dyn Context,
    parts: &[Part],
    out: Id<Axis>,
    start: &dyn Fn(usize, usize) -> Start,
) -> Node {
    let mut terms = Vec::new();
    for part in parts {
        let part = flat(context, part);
        terms.push(term(context, &part, out, start));
    }
    total(context, terms)
}

/// weight · part, for a part that is a vector.
pub(super) fn term(
    context: &mut dyn Context,
    part: &Part,
    out: Id<Axis>,
    start: &dyn Fn(usize, usize) -> Start,
) -> Node {
    // Each parent's weight is initialised as that of a separate layer, as in the ADGM authors'
    // code.
    let (inputs, outputs) = (
        context.graph().axis(part.axes[0]).size,
        context.graph().axis(out).size,
    );
    let weight = context.parameter(&part.weight(), &[out, part.axes[0]], start(inputs, outputs));
    let graph = context.graph();
    match part.value {
        Value::Dense(value) => graph.contract(value, weight, &Axes::from(part.axes[0])),
        // The product with a one-hot vector for each class is the weight itself.
        Value::Enumerated(class) => graph.rename(weight, part.axes[0], class),
    }
}

/// The sum of the terms, starting with those with the fewest axes.
pub(super) fn total(context: &mut dyn Context, mut terms: Vec<Node>) -> Node {
    let graph = context.graph();
    terms.sort_by_key(|&term| graph.axes_of(term).len());
    graph.total(terms)
}
