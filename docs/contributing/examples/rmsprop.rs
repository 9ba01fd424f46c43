//! RMSprop (Tieleman and Hinton 2012), as PyTorch defines it.

use super::{Optimizer, Update, arguments::rate};
use crate::{
    layer::Argument,
    tensor::{Graph, Node, Scalar},
};

/// `rmsprop`: the gradient divided by a running root mean square of it.
#[derive(Debug)]
pub struct RmsProp;

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn arguments(&self) -> &'static [Argument] {
        const DECAY: Argument = Argument {
            name: "decay",
            default: Some(0.99),
            least: 0.0,
            most: 0.999_999,
            whole: false,
        };
        const ARGUMENTS: &[Argument] = &[rate(0.01), DECAY];
        ARGUMENTS
    }

    fn state(&self) -> &'static [&'static str] {
        &["mean_square"]
    }

    /// v ← decay · v + (1 − decay) g²; θ ← θ − rate · g / (√v + 1e-8).
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>) {
        let decay = update.arguments[1];
        let kept = graph.scale(update.state[0], decay);
        let square = graph.square(update.gradient);
        let new = graph.scale(square, 1.0 - decay);
        let mean_square = graph.add(kept, new);
        let root = graph.scalar(Scalar::Sqrt, &[mean_square]);
        let divisor = graph.shift(root, 1e-8);
        let direction = graph.div(update.gradient, divisor);
        let step = graph.mul(update.rate, direction);
        (graph.sub(update.parameter, step), vec![mean_square])
    }
}
