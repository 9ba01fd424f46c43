//! Sums over the most probable classes, and draws one of the others to represent the rest (Liu et
//! al. 2019). It is unbiased, and costs as much as a sum over a few classes.

use super::{
    Baseline, Choice, Drawn, Estimator,
    surrogate::{gradient_alone, greatest, gumbel, score},
};
use crate::{
    layer::Argument,
    tensor::{Axes, Axis, AxisKind, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Top;

/// The log-probability of a class that must not be drawn.
const NEVER: f64 = -1e30;

impl Estimator for Top {
    fn name(&self) -> &'static str {
        "top"
    }

    fn keyword(&self) -> &'static str {
        "top"
    }

    fn arguments(&self) -> &'static [Argument] {
        const COUNT: Argument = Argument {
            name: "count",
            default: None,
            least: 1.0,
            most: 1e6,
            whole: true,
        };
        &[COUNT]
    }

    fn reads_learning_signal(&self) -> bool {
        true
    }

    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn {
        let along = Axes::from(choice.axis);
        let count = choice.arguments[0] as usize;
        let name = format!("{}.drawn", graph.axis(choice.axis).name);
        let slots = graph.new_axis(Axis {
            name,
            size: count + 1,
            kind: AxisKind::Class,
        });
        let slot = |graph: &mut Graph, number: usize| {
            let number = graph.constant(number as f64);
            graph.one_hot(number, slots)
        };
        let (mut values, mut weights) = (Vec::new(), Vec::new());
        let mut left = graph.stop_gradient(choice.log_q);
        for number in 0..count {
            let most_probable = greatest(graph, left, choice.axis);
            let log_q = graph.contract(most_probable, choice.log_q, &along);
            let (q, slot) = (graph.exp(log_q), slot(graph, number));
            values.push(graph.mul(slot, most_probable));
            weights.push(graph.mul(slot, q));
            let never = graph.constant(NEVER);
            left = graph.scalar(Scalar::Select, &[most_probable, never, left]);
        }
        let noise = gumbel(graph, choice.uniform);
        let perturbed = graph.add(left, noise);
        let other = greatest(graph, perturbed, choice.axis);
        let last = slot(graph, count);
        values.push(graph.mul(last, other));
        let summed = graph.total(weights.clone());
        let rest = rest(graph, summed, slots);
        let rest = graph.stop_gradient(rest);
        weights.push(graph.mul(last, rest));
        Drawn {
            value: graph.total(values),
            slots: Some((slots, graph.total(weights))),
        }
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        choice: &Choice,
        drawn: &Drawn,
        body: Node,
        _: Option<Baseline>,
    ) -> Option<Node> {
        let (slots, weights) = drawn.slots?;
        let over = Axes::from(slots);
        let number = graph.constant(choice.arguments[0]);
        let (last, one) = (graph.one_hot(number, slots), graph.constant(1.0));
        let first = graph.sub(one, last);
        let log_q = graph.contract(drawn.value, choice.log_q, &Axes::from(choice.axis));
        let log_q = graph.contract(last, log_q, &over);
        let last_body = graph.contract(last, body, &over);
        // The baseline is the mean of `body` over the most probable classes. It does not depend on
        // the drawn class, but the weight of the other classes depends on q: E over the others of
        // b ∇log q · weight = b ∇weight, which is added back.
        let summed = graph.mul(first, weights);
        let worth = graph.contract(summed, body, &over);
        let total = graph.sum(summed, &over);
        let baseline = graph.div(worth, total);
        let baseline = graph.stop_gradient(baseline);
        let rest = rest(graph, summed, slots);
        let better = graph.sub(last_body, baseline);
        let signal = graph.mul(rest, better);
        let score = score(graph, signal, log_q);
        let rest = gradient_alone(graph, rest);
        let added_back = graph.mul(baseline, rest);
        Some(graph.add(score, added_back))
    }
}

/// The probability that the weights leave for the other classes.
fn rest(graph: &mut Graph, weights: Node, slots: crate::id::Id<Axis>) -> Node {
    let (one, zero) = (graph.constant(1.0), graph.constant(0.0));
    let summed = graph.sum(weights, &Axes::from(slots));
    let rest = graph.sub(one, summed);
    graph.scalar(Scalar::Max, &[rest, zero])
}
