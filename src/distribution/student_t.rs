//! Student's t-distribution, with the mean, the log of the scale and the log of the degrees of freedom
//! as its parameters. It has a density, but no reparametrised sample.

use super::{Distribution, Domain, HeadSpec, arguments::positive};
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

    /// μ, about which the density is symmetric. It is no mean for degrees of freedom up to 1.
    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }
}
