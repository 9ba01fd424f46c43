//! `smooth y by vat(radius = 2)`: virtual adversarial training (Miyato et al. 2019). The prediction
//! of a label should change little in the direction of the data that changes it most.
//!
//! With `to clean`, q(y | x) is computed without randomness, and q(y | x + r) from drawn bits and
//! latents. Predictions then also change little between the draws of a row.
//!
//! The direction is a gradient within the loss: a step of the power method on the divergence's
//! curvature, from a random direction d. g = ∇_r KL(q(y | x) ‖ q(y | x + r)) at r = ξ d/‖d‖,
//! repeated in each round with d = g; then r = ε g/‖g‖.
//!
//! x + r is moved back into the domain of the data: a count below 0 to 0, a binary value to the
//! nearer of 0 and 1. Positive and unit data keep at least a tenth of their distance from a bound that
//! they cannot take. The gradient g is by the moved data, so a value at its bound keeps its slope.

use super::{Block, Draft, Line, RampOwner, Reader};
use crate::{
    distribution::Domain,
    gradient,
    id::Id,
    layer::Argument,
    model::{CostContext, CostRows, CostTerm, Edition, Notation, Ramp, Role, Variable},
    names::OutputName,
    tensor::{Axes, Graph, Node, NoiseKind, Scalar},
};
use std::sync::Arc;

/// weight · mean over rows and samples of KL(q(y | x) ‖ q(y | x + r)), for each case, where r is
/// the change of the data x of length `radius` that changes the prediction most.
#[derive(Debug)]
pub struct Smooth {
    pub label: Id<Variable>,
    /// Whether the first q(y | x) is the clean prediction: [`CostContext::clean_log_probabilities`].
    pub to_clean: bool,
    /// The length ε of the change.
    pub radius: f64,
    /// The length ξ of the change in the search for its direction.
    pub step: f64,
    /// The number of rounds in the search for its direction.
    pub rounds: usize,
    /// The weight.
    pub ramp: Ramp,
}

/// Keeps the division by the norm of a zero direction finite.
const TINY: f64 = 1e-30;

const KEYWORD: &str = "smooth";

impl CostTerm for Smooth {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn metric(&self) -> &'static str {
        "smoothness"
    }

    fn rows(&self) -> CostRows {
        CostRows::EachCase
    }

    fn ramp(&self) -> Option<Ramp> {
        Some(self.ramp)
    }

    fn formula(&self, notation: &Notation) -> String {
        let (q, radius) = (notation.posterior(self.label), self.radius);
        let target = match self.to_clean {
            true => format!("clean {q}"),
            false => q.clone(),
        };
        let weight = if self.ramp.changes() {
            String::new()
        } else {
            format!("{} · ", self.ramp.weight)
        };
        let means = notation.mean_of_each_case();
        let moved = format!("{q} with the data moved by {radius} in the worst direction");
        format!("+ {weight}({means}) KL({target} ‖ {moved})")
    }

    fn weighted_part(&self, notation: &Notation) -> String {
        format!("the KL of {}", notation.posterior(self.label))
    }

    fn remark(&self, notation: &Notation) -> Option<String> {
        let q = notation.posterior(self.label);
        let mut remark = format!(
            "The data are moved by a vector of length {}, in the direction that changes {q} most \
             (virtual adversarial training).",
            self.radius
        );
        if self.to_clean {
            remark += &format!(
                " The clean {q} is that of the data as given and of latents at their means, without \
                 noise and dropout."
            );
        }
        Some(remark)
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let model = context.model();
        let name = &model.variables[self.label.index()].name;
        context.set_origin(&format!("smoothness of q({name} | …)"));
        let data: Vec<Id<Variable>> = model
            .with_role(Role::Data)
            .filter(|id| model.variables[id.index()].domain != Domain::Class)
            .collect();
        let target = match self.to_clean {
            true => context.clean_log_probabilities(self.label),
            false => context.log_probabilities(self.label, &[]),
        };
        let target = context.graph().stop_gradient(target);
        let mut direction: Vec<Node> = data
            .iter()
            .map(|&id| random_direction(context, id, name))
            .collect();
        for _ in 0..self.rounds {
            let small = with_length(context, &direction, self.step);
            let moved = moved(context, &data, &small);
            let divergence = divergence(context, self.label, target, &data, &moved);
            let graph = context.graph();
            let all = graph.axes_of(divergence).clone();
            let sum = graph.sum(divergence, &all);
            direction = gradient::reverse(graph, sum, &moved);
            for (&id, part) in data.iter().zip(&mut direction) {
                *part = observed_part(context, id, *part);
            }
        }
        let large = with_length(context, &direction, self.radius);
        let moved = moved(context, &data, &large);
        let divergence = divergence(context, self.label, target, &data, &moved);
        let means = context.means(divergence);
        for &(case, mean) in &means {
            let output = OutputName::Metric {
                metric: self.metric().to_string(),
                case: Some(case),
                variable: name.clone(),
            };
            context.report(output, mean);
        }
        let weight = context.weight(self);
        let graph = context.graph();
        let total = graph.total(means.into_iter().map(|(_, mean)| mean));
        graph.mul(weight, total)
    }
}

/// A random direction for one data variable, with axes row and features.
fn random_direction(context: &mut dyn CostContext<'_>, data: Id<Variable>, label: &str) -> Node {
    let model = context.model();
    let data_name = &model.variables[data.index()].name;
    let name = match model.edition {
        // A layer's noise could have this name: that of `smooth` in q, if a label is called `q`.
        Edition::One => format!("{label}.{KEYWORD}.{data_name}"),
        Edition::Two => format!("{KEYWORD}.{label}.{data_name}"),
    };
    let axes = Axes::from(context.row()).with(context.features(data));
    let direction = context.noise(&name, NoiseKind::Normal, axes);
    observed_part(context, data, direction)
}

/// A direction without the features that are missing, which have no value to move.
fn observed_part(context: &mut dyn CostContext<'_>, data: Id<Variable>, direction: Node) -> Node {
    match context.mask(data) {
        Some(mask) => {
            let zero = context.graph().constant(0.0);
            let operands = [mask, direction, zero];
            context.graph().scalar(Scalar::Select, &operands)
        }
        None => direction,
    }
}

/// The data moved by these changes, within their domains.
fn moved(context: &mut dyn CostContext<'_>, data: &[Id<Variable>], change: &[Node]) -> Vec<Node> {
    let model = context.model();
    let mut moved = Vec::new();
    for (&id, &by) in data.iter().zip(change) {
        let value = context.data(id);
        let graph = context.graph();
        let sum = graph.add(value, by);
        moved.push(match model.edition {
            Edition::One => sum,
            Edition::Two => within(graph, model.variables[id.index()].domain, value, sum),
        });
    }
    moved
}

/// The part of its distance from a bound that a value keeps if it cannot take the bound itself.
const KEPT: f64 = 0.1;

/// `moved`, where it leaves the domain of `value` replaced by the nearest value within.
fn within(graph: &mut Graph, domain: Domain, value: Node, moved: Node) -> Node {
    let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
    match domain {
        Domain::Real | Domain::Class => moved,
        Domain::Count => graph.scalar(Scalar::Max, &[moved, zero]),
        Domain::Binary => {
            let above = graph.scalar(Scalar::Max, &[moved, zero]);
            graph.scalar(Scalar::Min, &[above, one])
        }
        Domain::Positive => {
            let least = graph.scale(value, KEPT);
            graph.scalar(Scalar::Max, &[moved, least])
        }
        Domain::Unit => {
            let least = graph.scale(value, KEPT);
            let most = graph.shift(least, 1.0 - KEPT);
            let above = graph.scalar(Scalar::Max, &[moved, least]);
            graph.scalar(Scalar::Min, &[above, most])
        }
    }
}

/// The direction scaled to that length in each row, over all data variables, without a gradient.
fn with_length(context: &mut dyn CostContext<'_>, direction: &[Node], length: f64) -> Vec<Node> {
    let row = Axes::from(context.row());
    let graph = context.graph();
    let squares: Vec<Node> = direction
        .iter()
        .map(|&part| {
            let square = graph.square(part);
            let features = graph.axes_of(square).minus(&row);
            graph.sum(square, &features)
        })
        .collect();
    let square = graph.total(squares);
    let square = graph.shift(square, TINY);
    let norm = graph.scalar(Scalar::Sqrt, &[square]);
    direction
        .iter()
        .map(|&part| {
            let unit = graph.div(part, norm);
            let scaled = graph.scale(unit, length);
            graph.stop_gradient(scaled)
        })
        .collect()
}

/// Σ_k q(k | x) (log q(k | x) − log q(k | x + r)), of each row and sample; `target` is log q(k | x),
/// `moved` is x + r.
fn divergence(
    context: &mut dyn CostContext<'_>,
    label: Id<Variable>,
    target: Node,
    data: &[Id<Variable>],
    moved: &[Node],
) -> Node {
    let moved: Vec<(Id<Variable>, Node)> =
        data.iter().copied().zip(moved.iter().copied()).collect();
    let changed = context.log_probabilities(label, &moved);
    let axis = Axes::from(context.features(label));
    let graph = context.graph();
    let ratio = graph.sub(target, changed);
    let q = graph.exp(target);
    graph.contract(q, ratio, &axis)
}

#[derive(Debug)]
pub struct SmoothLine;

/// The arguments of virtual adversarial training.
const VAT: [Argument; 4] = [
    argument("radius", None, 0.0),
    argument("weight", Some(1.0), 0.0),
    argument("step", Some(1.0), 1e-6),
    Argument {
        name: "rounds",
        default: Some(1.0),
        least: 1.0,
        most: 100.0,
        whole: true,
    },
];

const fn argument(name: &'static str, default: Option<f64>, least: f64) -> Argument {
    Argument {
        name,
        default,
        least,
        most: 1e6,
        whole: false,
    }
}

impl Line for SmoothLine {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "smooth y by vat(radius = 2, weight = 1) to clean warmup 10 from 5"
    }

    fn summary(&self) -> &'static str {
        "penalises changes of a label's prediction in the worst direction of the data"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let help = "`smooth` applies to a `label` that q infers";
        let (name, label) = reader.label(help)?;
        reader.choice(&["by"])?;
        let call = reader.call("`vat(radius = 2)`")?;
        if call.name.text != "vat" {
            reader.unknown(&call.name, "smoothing method", ["vat"]);
            return None;
        }
        let values = reader.context.arguments(&call, &VAT, "smoothing method")?;
        let mut arguments = [0.0; 4];
        for ((to, value), argument) in arguments.iter_mut().zip(values).zip(&VAT) {
            let name = format!("{KEYWORD}.{}", argument.name);
            *to = reader.context.set_number(&name, argument, value);
        }
        reader.has_prediction(&name, label)?;
        let to_clean = reader.follows("to");
        if to_clean {
            reader.choice(&["clean"])?;
        }
        let [radius, weight, step, rounds] = arguments;
        draft.objective.costs.push(Arc::new(Smooth {
            label,
            to_clean,
            radius,
            step,
            rounds: rounds as usize,
            ramp: reader.ramp_to(weight, RampOwner::Line(KEYWORD))?,
        }));
        Some(())
    }
}
