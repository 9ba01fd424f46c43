//! The Laplace distribution, with the mean and the log of the scale as its parameters.

use super::{Distribution, Domain, HeadSpec, NoiseKind, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Laplace;

/// u − ½, and −|s| = log(1 − 2 |u − ½|) for the standard draw s of the noise u.
fn standard(graph: &mut Graph, noise: Node) -> (Node, Node) {
    let centred = graph.shift(noise, -0.5);
    let distance = graph.scalar(Scalar::Abs, &[centred]);
    let tail = graph.scale(distance, -2.0);
    (centred, graph.scalar(Scalar::Log1P, &[tail]))
}

impl Distribution for Laplace {
    fn name(&self) -> &'static str {
        "laplace"
    }

    fn support(&self) -> Domain {
        Domain::Real
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::unbounded("mean"), HeadSpec::log("log_scale")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["mean", "scale"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("scale", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0], arguments[1].ln()]
    }

    /// log p(x) = −log 2b − |x − μ| / b.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let centred = graph.sub(value, heads[0]);
        let distance = graph.scalar(Scalar::Abs, &[centred]);
        let negative = graph.neg(heads[1]);
        let rate = graph.exp(negative);
        let scaled = graph.mul(distance, rate);
        let sum = graph.add(scaled, heads[1]);
        let sum = graph.shift(sum, std::f64::consts::LN_2);
        let sum = graph.sum(sum, &Axes::from(axis));
        graph.neg(sum)
    }

    fn noise(&self) -> Option<NoiseKind> {
        Some(NoiseKind::Uniform)
    }

    /// The inverse of the distribution function: μ − b sign(u − ½) log(1 − 2 |u − ½|).
    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        let (centred, log) = standard(graph, noise);
        let sign = graph.scalar(Scalar::Sign, &[centred]);
        let unit = graph.mul(sign, log);
        let scale = graph.exp(heads[1]);
        let scaled = graph.mul(scale, unit);
        Some(graph.sub(heads[0], scaled))
    }

    /// −log 2b + log(1 − 2 |u − ½|).
    fn log_prob_of_sample(
        &self,
        graph: &mut Graph,
        heads: &[Node],
        noise: Node,
        axis: Id<Axis>,
    ) -> Option<Node> {
        let (_, log) = standard(graph, noise);
        let density = graph.sub(log, heads[1]);
        let density = graph.shift(density, -std::f64::consts::LN_2);
        Some(graph.sum(density, &Axes::from(axis)))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let centred = random.uniform() - 0.5;
        let size = -(1.0 - 2.0 * centred.abs()).ln();
        Some(heads[0] + heads[1].exp() * size.copysign(centred))
    }

    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }

    /// 2 b².
    fn variance(&self, graph: &mut Graph, heads: &[Node]) -> Option<Node> {
        let double = graph.scale(heads[1], 2.0);
        let square = graph.exp(double);
        Some(graph.scale(square, 2.0))
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.is::<Laplace>()
    }

    /// KL(q ‖ p) = Σ log bp/bq + |μq − μp| / bp + bq/bp · exp(−|μq − μp| / bq) − 1 (Gil et al.
    /// 2013).
    fn kl(
        &self,
        graph: &mut Graph,
        q: &[Node],
        (_, p): (&dyn Distribution, &[Node]),
        axis: Id<Axis>,
    ) -> Option<Node> {
        let logs = graph.sub(p[1], q[1]);
        let centred = graph.sub(q[0], p[0]);
        let distance = graph.scalar(Scalar::Abs, &[centred]);
        let (p_negative, q_negative) = (graph.neg(p[1]), graph.neg(q[1]));
        let (p_rate, q_rate) = (graph.exp(p_negative), graph.exp(q_negative));
        let near = graph.mul(distance, p_rate);
        let far = graph.mul(distance, q_rate);
        let exponent = graph.add(far, logs);
        let exponent = graph.neg(exponent);
        let overlap = graph.exp(exponent);
        let sum = graph.total([logs, near, overlap]);
        let sum = graph.shift(sum, -1.0);
        Some(graph.sum(sum, &Axes::from(axis)))
    }
}
