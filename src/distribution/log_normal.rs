//! The log-normal distribution: the exponential of a normal variable.

use super::{
    Distribution, Domain, HeadSpec, NoiseKind, arguments::positive, normal, random::Random,
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct LogNormal;

impl Distribution for LogNormal {
    fn name(&self) -> &'static str {
        "log_normal"
    }

    fn support(&self) -> Domain {
        Domain::Positive
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

    /// log p(x) = log N(log x; μ, σ²) − log x. The difference log x − μ keeps the digits that log x alone
    /// loses in single precision.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let centred = graph.scalar(Scalar::LogRatio, &[value, heads[0]]);
        let density = normal::log_density(graph, centred, heads[1]);
        let log = graph.log(value);
        let density = graph.sub(density, log);
        graph.sum(density, &Axes::from(axis))
    }

    fn noise(&self) -> Option<NoiseKind> {
        Some(NoiseKind::Normal)
    }

    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        let normal = normal::draw(graph, heads[0], heads[1], noise);
        Some(graph.exp(normal))
    }

    /// log N(μ + σ ε; μ, σ²) − (μ + σ ε).
    fn log_prob_of_sample(
        &self,
        graph: &mut Graph,
        heads: &[Node],
        noise: Node,
        axis: Id<Axis>,
    ) -> Option<Node> {
        let density = normal::log_density_of_draw(graph, heads[1], noise);
        let log = normal::draw(graph, heads[0], heads[1], noise);
        let density = graph.sub(density, log);
        Some(graph.sum(density, &Axes::from(axis)))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some((heads[0] + (0.5 * heads[1]).exp() * random.normal()).exp())
    }

    /// exp(μ + σ²/2).
    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        let variance = graph.exp(heads[1]);
        let half = graph.scale(variance, 0.5);
        let sum = graph.add(heads[0], half);
        graph.exp(sum)
    }

    /// (exp(σ²) − 1) exp(2 μ + σ²).
    fn variance(&self, graph: &mut Graph, heads: &[Node]) -> Option<Node> {
        let variance = graph.exp(heads[1]);
        let growth = graph.scalar(Scalar::ExpM1, &[variance]);
        let location = graph.scale(heads[0], 2.0);
        let exponent = graph.add(location, variance);
        let square = graph.exp(exponent);
        Some(graph.mul(growth, square))
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.is::<LogNormal>()
    }

    fn kl(
        &self,
        graph: &mut Graph,
        q: &[Node],
        (_, p): (&dyn Distribution, &[Node]),
        axis: Id<Axis>,
    ) -> Option<Node> {
        Some(normal::divergence(graph, q, p, axis))
    }
}
