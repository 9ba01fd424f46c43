//! Student's t-distribution, with the mean, the log of the scale and the log of the degrees of freedom
//! as its parameters. It has a density, but no reparametrised sample.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct StudentT;

impl Distribution for StudentT {
    fn name(&self) -> &'static str {
        "student_t"
    }

    fn support(&self) -> Domain {
        Domain::Real
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const {
            &[
                HeadSpec::unbounded("mean"),
                HeadSpec::log("log_scale"),
                HeadSpec::log("log_degrees"),
            ]
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["degrees", "mean", "scale"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("degrees", arguments[0])?;
        positive("scale", arguments[2])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[1], arguments[2].ln(), arguments[0].ln()]
    }

    /// log p(x) = log Γ((ν + 1)/2) − log Γ(ν/2) − ½ log πν − log s − ½ (ν + 1) log(1 + t²/ν), where
    /// t = (x − μ) / s.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let centred = graph.sub(value, heads[0]);
        let density = graph.scalar(Scalar::StudentT, &[centred, heads[1], heads[2]]);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let degrees = heads[2].exp();
        // A normal variable over the root of a chi-squared one by its degrees of freedom.
        let spread = random.log_gamma_variable(0.5 * degrees) - (0.5 * degrees).ln();
        let unit = random.normal() * (-0.5 * spread).exp();
        Some(heads[0] + heads[1].exp() * unit)
    }

    /// μ, about which the density is symmetric. It is no mean for degrees of freedom up to 1.
    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }
}
