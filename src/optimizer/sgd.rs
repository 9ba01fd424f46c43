//! Stochastic gradient descent with momentum, as PyTorch defines it.

use super::{Optimizer, Update, arguments::rate};
use crate::{
    layer::Argument,
    tensor::{Graph, Node},
};

#[derive(Debug)]
pub struct Sgd;

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn arguments(&self) -> &'static [Argument] {
        const MOMENTUM: Argument = Argument {
            name: "momentum",
            default: Some(0.0),
            least: 0.0,
            most: 0.9999,
            whole: false,
        };
        const ARGUMENTS: &[Argument] = &[rate(0.01), MOMENTUM];
        ARGUMENTS
    }

    fn state(&self) -> &'static [&'static str] {
        &["velocity"]
    }

    /// v ← momentum · v + g; θ ← θ − rate · v.
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>) {
        let kept = graph.scale(update.state[0], update.arguments[1]);
        let velocity = graph.add(kept, update.gradient);
        let step = graph.mul(update.rate, velocity);
        (graph.sub(update.parameter, step), vec![velocity])
    }
}
