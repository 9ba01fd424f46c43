//! The von Mises distribution of an angle in radians, with the location and the log of the
//! concentration as its parameters. Angles that differ by 2π are the same, and the density is one over
//! a circle. It has no reparametrised sample.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct VonMises;

impl Distribution for VonMises {
    fn name(&self) -> &'static str {
        "von_mises"
    }

    fn support(&self) -> Domain {
        Domain::Real
    }

    fn is_periodic(&self) -> bool {
        true
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const {
            &[
                HeadSpec::unbounded("location"),
                HeadSpec::log("log_concentration"),
            ]
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["location", "concentration"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("concentration", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0], arguments[1].ln()]
    }

    /// log p(x) = κ cos(x − μ) − log 2π I₀(κ).
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let density = graph.scalar(Scalar::VonMises, &[value, heads[0], heads[1]]);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some(heads[0] + random.von_mises(heads[1].exp()))
    }

    /// μ, the direction of the mean.
    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }
}
