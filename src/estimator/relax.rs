//! Gumbel-softmax (Jang et al. 2017; Maddison et al. 2017): a relaxed one-hot vector. The gradient
//! is biased; the bias falls with the temperature.

use super::{
    Choice, Drawn, Estimator,
    surrogate::{gradient_alone, greatest, gumbel},
};
use crate::{
    layer::Argument,
    tensor::{Graph, Node},
};

const ARGUMENTS: &[Argument] = &[
    Argument {
        name: "temperature",
        default: Some(1.0),
        least: 1e-3,
        most: 1e3,
        whole: false,
    },
    // Each epoch multiplies the temperature by it.
    Argument {
        name: "decay",
        default: Some(1.0),
        least: 1e-3,
        most: 1.0,
        whole: false,
    },
    Argument {
        name: "floor",
        default: Some(0.1),
        least: 1e-3,
        most: 1e3,
        whole: false,
    },
];

/// softmax((log q + g) / temperature), and log q + g.
fn relaxed(graph: &mut Graph, choice: &Choice) -> (Node, Node) {
    let noise = gumbel(graph, choice.uniform);
    let perturbed = graph.add(choice.log_q, noise);
    let temperature = choice
        .changing
        .unwrap_or_else(|| graph.constant(choice.arguments[0]));
    let scaled = graph.div(perturbed, temperature);
    let logs = graph.log_softmax(scaled, choice.axis);
    (graph.exp(logs), perturbed)
}

/// If `hard`, the value is one-hot and the gradient that of the relaxed vector; else both are
/// relaxed.
#[derive(Debug)]
pub struct Relaxation {
    name: &'static str,
    hard: bool,
}

pub const GUMBEL: Relaxation = Relaxation {
    name: "gumbel",
    hard: false,
};
pub const STRAIGHT_THROUGH: Relaxation = Relaxation {
    name: "straight_through",
    hard: true,
};

impl Estimator for Relaxation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn keyword(&self) -> &'static str {
        "relax"
    }

    fn arguments(&self) -> &'static [Argument] {
        ARGUMENTS
    }

    fn fits_importance_weights(&self) -> bool {
        true
    }

    fn changing(&self, arguments: &[f64], epoch: f64) -> Option<(&'static str, f64)> {
        let [start, decay, floor] = *arguments else {
            return None;
        };
        (decay < 1.0).then(|| {
            (
                "temperature",
                (start * decay.powf(epoch)).max(floor.min(start)),
            )
        })
    }

    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn {
        let (soft, perturbed) = relaxed(graph, choice);
        if !self.hard {
            return Drawn {
                value: soft,
                slots: None,
            };
        }
        let perturbed = graph.stop_gradient(perturbed);
        let hard = greatest(graph, perturbed, choice.axis);
        let slope = gradient_alone(graph, soft);
        Drawn {
            value: graph.add(hard, slope),
            slots: None,
        }
    }
}
