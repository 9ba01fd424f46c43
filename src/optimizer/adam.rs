//! Adam and its relatives (Kingma and Ba 2015; Loshchilov and Hutter 2019), as PyTorch defines
//! them.

use super::{Optimizer, Update, arguments::rate};
use crate::{
    layer::Argument,
    tensor::{Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Adam;

/// Adam with weight decay that is decoupled from the gradient.
#[derive(Debug)]
pub struct AdamW;

/// Adam with the infinity norm.
#[derive(Debug)]
pub struct Adamax;

const fn fraction(name: &'static str, default: f64) -> Argument {
    Argument {
        name,
        default: Some(default),
        least: 0.0,
        most: 0.999_999,
        whole: false,
    }
}

const BETA1: Argument = fraction("beta1", 0.9);
const BETA2: Argument = fraction("beta2", 0.999);
const EPSILON: Argument = Argument {
    name: "epsilon",
    default: Some(1e-8),
    least: 0.0,
    most: 1.0,
    whole: false,
};

/// decay · average + (1 − decay) · value.
fn average(graph: &mut Graph, average: Node, value: Node, decay: f64) -> Node {
    let kept = graph.scale(average, decay);
    let new = graph.scale(value, 1.0 - decay);
    graph.add(kept, new)
}

/// 1 − decayᵗ, as −(exp(t log decay) − 1) so that single precision keeps its digits at the first
/// steps.
fn correction(graph: &mut Graph, step: Node, decay: f64) -> Node {
    if decay == 0.0 {
        return graph.constant(1.0);
    }
    let exponent = graph.scale(step, decay.ln());
    let less = graph.scalar(Scalar::ExpM1, &[exponent]);
    graph.neg(less)
}

/// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; θ ← θ − rate · m̂ / (√v̂ + ε), with m̂ = m / (1 −
/// β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
fn adam(graph: &mut Graph, update: &Update, parameter: Node) -> (Node, Vec<Node>) {
    let &[_, beta1, beta2, epsilon, ..] = update.arguments else {
        unreachable!("check fills in the arguments")
    };
    let first = average(graph, update.state[0], update.gradient, beta1);
    let square = graph.square(update.gradient);
    let second = average(graph, update.state[1], square, beta2);
    let first_correction = correction(graph, update.step, beta1);
    let second_correction = correction(graph, update.step, beta2);
    let rate = graph.div(update.rate, first_correction);
    let one = graph.constant(1.0);
    let unbiased = graph.div(one, second_correction);
    let unbiased = graph.mul(second, unbiased);
    let root = graph.scalar(Scalar::Sqrt, &[unbiased]);
    let below = graph.shift(root, epsilon);
    let direction = graph.div(first, below);
    let step = graph.mul(rate, direction);
    (graph.sub(parameter, step), vec![first, second])
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn arguments(&self) -> &'static [Argument] {
        const ARGUMENTS: &[Argument] = &[rate(3e-4), BETA1, BETA2, EPSILON];
        ARGUMENTS
    }

    fn state(&self) -> &'static [&'static str] {
        &["first_moment", "second_moment"]
    }

    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>) {
        adam(graph, update, update.parameter)
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn arguments(&self) -> &'static [Argument] {
        const DECAY: Argument = Argument {
            name: "weight_decay",
            default: Some(0.01),
            least: 0.0,
            most: 1e3,
            whole: false,
        };
        const ARGUMENTS: &[Argument] = &[rate(3e-4), BETA1, BETA2, EPSILON, DECAY];
        ARGUMENTS
    }

    fn state(&self) -> &'static [&'static str] {
        &["first_moment", "second_moment"]
    }

    /// θ ← θ − rate · decay · θ before Adam's step; weights alone decay.
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>) {
        if !update.decays {
            return adam(graph, update, update.parameter);
        }
        let shrink = graph.scale(update.rate, update.arguments[4]);
        let one = graph.constant(1.0);
        let keep = graph.sub(one, shrink);
        let decayed = graph.mul(update.parameter, keep);
        adam(graph, update, decayed)
    }
}

impl Optimizer for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn arguments(&self) -> &'static [Argument] {
        const ARGUMENTS: &[Argument] = &[rate(2e-3), BETA1, BETA2, EPSILON];
        ARGUMENTS
    }

    fn state(&self) -> &'static [&'static str] {
        &["first_moment", "infinity_norm"]
    }

    /// m ← β₁ m + (1 − β₁) g; u ← max(β₂ u, |g| + ε); θ ← θ − rate / (1 − β₁ᵗ) · m / u.
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>) {
        let &[_, beta1, beta2, epsilon] = update.arguments else {
            unreachable!("check fills in the arguments")
        };
        let first = average(graph, update.state[0], update.gradient, beta1);
        let kept = graph.scale(update.state[1], beta2);
        let size = graph.scalar(Scalar::Abs, &[update.gradient]);
        let size = graph.shift(size, epsilon);
        let norm = graph.scalar(Scalar::Max, &[kept, size]);
        let correction = correction(graph, update.step, beta1);
        let rate = graph.div(update.rate, correction);
        let direction = graph.div(first, norm);
        let step = graph.mul(rate, direction);
        (graph.sub(update.parameter, step), vec![first, norm])
    }
}
