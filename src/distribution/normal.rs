//! The normal distribution, with the mean and the log of the variance as its parameters.

use super::{Distribution, Domain, HeadSpec, NoiseKind, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node},
};

#[derive(Debug)]
pub struct Normal;

/// −½ (log 2π + log σ² + (x − μ)² / σ²), elementwise, of the `centred` x − μ.
pub(super) fn log_density(graph: &mut Graph, centred: Node, log_variance: Node) -> Node {
    let square = graph.square(centred);
    let negative = graph.neg(log_variance);
    let precision = graph.exp(negative);
    let scaled = graph.mul(square, precision);
    log_density_of_square(graph, scaled, log_variance)
}

/// The log-density of μ + σ ε: −½ (log 2π + log σ² + ε²), elementwise.
pub(super) fn log_density_of_draw(graph: &mut Graph, log_variance: Node, noise: Node) -> Node {
    let square = graph.square(noise);
    log_density_of_square(graph, square, log_variance)
}

/// −½ (log 2π + log σ² + `square`).
fn log_density_of_square(graph: &mut Graph, square: Node, log_variance: Node) -> Node {
    let sum = graph.add(square, log_variance);
    let sum = graph.shift(sum, (2.0 * std::f64::consts::PI).ln());
    graph.scale(sum, -0.5)
}

/// μ + σ ε.
pub(super) fn draw(graph: &mut Graph, mean: Node, log_variance: Node, noise: Node) -> Node {
    let half = graph.scale(log_variance, 0.5);
    let scale = graph.exp(half);
    let scaled = graph.mul(scale, noise);
    graph.add(mean, scaled)
}

/// KL(q ‖ p) = ½ Σ (log σp² − log σq² + (σq² + (μq − μp)²) / σp² − 1).
pub(super) fn divergence(graph: &mut Graph, q: &[Node], p: &[Node], axis: Id<Axis>) -> Node {
    let logs = graph.sub(p[1], q[1]);
    let variance = graph.exp(q[1]);
    let centred = graph.sub(q[0], p[0]);
    let square = graph.square(centred);
    let spread = graph.add(variance, square);
    let negative = graph.neg(p[1]);
    let precision = graph.exp(negative);
    let ratio = graph.mul(spread, precision);
    let sum = graph.add(logs, ratio);
    let sum = graph.shift(sum, -1.0);
    let sum = graph.sum(sum, &Axes::from(axis));
    graph.scale(sum, 0.5)
}

impl Distribution for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }

    fn support(&self) -> Domain {
        Domain::Real
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::unbounded("mean"), HeadSpec::log("log_variance")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["mean", "scale"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("scale", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0], 2.0 * arguments[1].ln()]
    }

    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let centred = graph.sub(value, heads[0]);
        let density = log_density(graph, centred, heads[1]);
        graph.sum(density, &Axes::from(axis))
    }

    fn noise(&self) -> Option<NoiseKind> {
        Some(NoiseKind::Normal)
    }

    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        Some(draw(graph, heads[0], heads[1], noise))
    }

    fn log_prob_of_sample(
        &self,
        graph: &mut Graph,
        heads: &[Node],
        noise: Node,
        axis: Id<Axis>,
    ) -> Option<Node> {
        let density = log_density_of_draw(graph, heads[1], noise);
        Some(graph.sum(density, &Axes::from(axis)))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some(heads[0] + (0.5 * heads[1]).exp() * random.normal())
    }

    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }

    fn variance(&self, graph: &mut Graph, heads: &[Node]) -> Option<Node> {
        Some(graph.exp(heads[1]))
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.is::<Normal>()
    }

    fn kl(
        &self,
        graph: &mut Graph,
        q: &[Node],
        (_, p): (&dyn Distribution, &[Node]),
        axis: Id<Axis>,
    ) -> Option<Node> {
        Some(divergence(graph, q, p, axis))
    }
}
