//! The linear layer, and the linear map from several parts that heads use too.

use super::{Argument, Context, Layer, Part, Value};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Node, Start},
};

#[derive(Debug)]
pub struct Dense;

impl Layer for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn arguments(&self) -> &'static [Argument] {
        &[Argument { name: "size", default: None, least: 1.0, most: 1e6, whole: true }]
    }

    fn outputs(&self, _: usize, arguments: &[f64]) -> usize {
        arguments[0] as usize
    }

    fn joins(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        let out = context.new_axis(arguments[0] as usize);
        let start = |inputs, outputs| Start::HiddenWeight { inputs, outputs };
        (linear(context, parts, out, &start, Start::Bias), out)
    }
}

/// bias + Σ over parts of weight · part, over the features `out`. Named parts have a weight each, `weight.PART` [out, in];
/// a nameless one has `weight`. What has the fewest axes is summed first, so that nothing is repeated along axes that it lacks.
pub fn linear(
    context: &mut dyn Context,
    parts: &[Part],
    out: Id<Axis>,
    start: &dyn Fn(usize, usize) -> Start,
    bias: Start,
) -> Node {
    let outputs = context.graph().axis(out).size;
    let mut terms = vec![context.parameter("bias", &[out], bias)];
    for part in parts {
        let name = if part.name.is_empty() { "weight".to_string() } else { format!("weight.{}", part.name) };
        // Each parent's weight starts as that of a layer of its own, as in the ADGM authors' code.
        let inputs = context.graph().axis(part.axis).size;
        let weight = context.parameter(&name, &[out, part.axis], start(inputs, outputs));
        let graph = context.graph();
        terms.push(match part.value {
            Value::Dense(value) => graph.contract(value, weight, &Axes::from(part.axis)),
            // The product with a one-hot vector for each class is the weight itself.
            Value::Enumerated(class) => graph.rename(weight, part.axis, class),
        });
    }
    let graph = context.graph();
    terms.sort_by_key(|&term| graph.axes_of(term).len());
    graph.total(terms)
}
