//! A distribution over ordered classes, such as ratings: the cumulative logit model (McCullagh
//! 1980).
//!
//! P(y ≤ c) = σ(t_c − l), for a location l that a network computes and thresholds t_0 < t_1 < …
//! that are the same for all rows. The first threshold is a parameter; each further one is larger
//! by softplus(u) for a parameter u. Then no difference of sigmoids is needed, because
//!
//! σ(t + d) − σ(t) = σ(t + d) σ(−t) (1 − exp(−d)), and 1 − exp(−softplus(u)) = σ(u),
//!
//! so that log p is a sum of at most three terms − softplus(·), none of which is positive.

use super::{Distribution, Domain, HeadSpec, Shared, classes};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph, Node, Scalar},
};

/// `ordinal`: P(y ≤ c) = σ(t_c − l).
#[derive(Debug)]
pub struct Ordinal;

impl Distribution for Ordinal {
    fn name(&self) -> &'static str {
        "ordinal"
    }

    fn support(&self) -> Domain {
        Domain::Class
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::single("location")] }
    }

    /// At first, the first and the last of K classes have probability 1 / K at the location 0, and
    /// thresholds are equally far apart.
    fn shared(&self, classes: usize) -> Vec<Shared> {
        let farthest = (classes as f64 - 1.0).ln();
        let mut shared = Vec::new();
        if classes > 1 {
            shared.push(Shared {
                name: "threshold.first",
                size: 1,
                start: -farthest,
            });
        }
        if classes > 2 {
            let size = classes - 2;
            let distance = 2.0 * farthest / size as f64;
            shared.push(Shared {
                name: "threshold.increment",
                size,
                // softplus of this number is the distance.
                start: distance.exp_m1().ln(),
            });
        }
        shared
    }

    fn has_probabilities(&self) -> bool {
        true
    }

    fn constant_heads(&self, _: &[f64]) -> Vec<f64> {
        vec![0.0]
    }

    /// log p(c) = − softplus(l − t_c) − softplus(t_{c−1} − l) − softplus(−u_{c−1}), without the
    /// first term for the last class, without the second for the first class, and without the third
    /// for both.
    fn log_probabilities(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Option<Node> {
        let &[location, ref thresholds @ ..] = heads else {
            unreachable!("the location is a head")
        };
        let class = graph.iota(axis);
        let last = graph.axis(axis).size as f64 - 1.0;
        let Some((&first, increments)) = thresholds.split_first() else {
            // A single class. The product has the axes of the heads.
            let zero = graph.scale(location, 0.0);
            let zeros = graph.scale(class, 0.0);
            return Some(graph.add(zero, zeros));
        };
        let first = {
            let only = parameters_of(graph, first);
            graph.sum(first, &only)
        };
        let (mut below, mut above, mut between) = (first, first, None);
        if let Some(&increment) = increments.first() {
            let axes = parameters_of(graph, increment);
            let place = axes.iter().next().expect("increments have an axis");
            let place = graph.iota(place);
            let next = graph.shift(place, 1.0);
            let distance = graph.scalar(Scalar::Softplus, &[increment]);
            // Class c is above c − 1 increments and below c.
            let mut threshold = |before: Node| {
                let is_before = graph.scalar(Scalar::Greater, &[class, before]);
                let distances = graph.mul(is_before, distance);
                let sum = graph.sum(distances, &axes);
                graph.add(first, sum)
            };
            (above, below) = (threshold(place), threshold(next));
            let negative = graph.neg(increment);
            let loss = graph.scalar(Scalar::Softplus, &[negative]);
            let is_between = graph.one_hot(next, axis);
            let loss = graph.mul(is_between, loss);
            between = Some(graph.sum(loss, &axes));
        }
        let (one, zero) = (graph.constant(1.0), graph.constant(0.0));
        let last = graph.constant(last);
        let is_not_last = graph.scalar(Scalar::Greater, &[last, class]);
        let distance = graph.sub(location, above);
        let distance = graph.scalar(Scalar::Softplus, &[distance]);
        let upper = graph.scalar(Scalar::Select, &[is_not_last, distance, zero]);
        let distance = graph.sub(below, location);
        let distance = graph.scalar(Scalar::Softplus, &[distance]);
        let is_first = graph.scalar(Scalar::Greater, &[one, class]);
        let lower = graph.scalar(Scalar::Select, &[is_first, zero, distance]);
        let terms = [Some(upper), Some(lower), between];
        let loss = graph.total(terms.into_iter().flatten());
        Some(graph.neg(loss))
    }

    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        classes::log_prob(self, graph, heads, value, axis)
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.support() == Domain::Class
    }

    fn kl(
        &self,
        graph: &mut Graph,
        q: &[Node],
        (p, heads): (&dyn Distribution, &[Node]),
        axis: Id<Axis>,
    ) -> Option<Node> {
        classes::kl(graph, (self, q), (p, heads), axis)
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Node {
        classes::mean(self, graph, heads, axis)
    }
}

/// The axis of a shared parameter.
fn parameters_of(graph: &Graph, parameter: Node) -> Axes {
    let axes = graph.axes_of(parameter).iter();
    axes.filter(|&axis| graph.axis(axis).kind == AxisKind::Feature)
        .collect()
}
