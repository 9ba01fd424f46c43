//! `smooth y by vat(radius = 2)`: virtual adversarial training (Miyato et al. 2019). The prediction
//! of a label may not change much where the data change most to its harm.

use super::{Block, Draft, Line, Reader};
use crate::{
    id::Id,
    layer::Argument,
    model::{Cost, CostRows, Notation, Ramp, Variable},
};
use std::sync::Arc;

/// weight · mean over rows and samples of KL(q(y | x) ‖ q(y | x + r)), for each case, where r is
/// the change of the data x of length `radius` that harms most.
#[derive(Debug)]
pub struct Smooth {
    pub label: Id<Variable>,
    /// The length of the change.
    pub radius: f64,
    /// The length at which its direction is found.
    pub step: f64,
    /// In how many rounds its direction is found.
    pub rounds: usize,
    /// The weight.
    pub ramp: Ramp,
}

const KEYWORD: &str = "smooth";

impl Cost for Smooth {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.label
    }

    fn rows(&self) -> CostRows {
        CostRows::EachCase
    }

    fn ramp(&self) -> Option<Ramp> {
        Some(self.ramp)
    }

    fn formula(&self, notation: &Notation) -> String {
        let (q, radius) = (notation.posterior(self.label), self.radius);
        let weight = if self.ramp.changes() {
            String::new()
        } else {
            format!("{} · ", self.ramp.weight)
        };
        let means = notation.mean_of_each_case();
        let moved = format!("{q} where the data are moved by {radius} to its harm");
        format!("+ {weight}({means}) KL({q} ‖ {moved})")
    }

    fn weighted_part(&self, notation: &Notation) -> String {
        format!("the KL of {}", notation.posterior(self.label))
    }
}

#[derive(Debug)]
pub struct SmoothLine;

/// What virtual adversarial training takes.
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
        "smooth y by vat(radius = 2, weight = 1) warmup 10 from 5"
    }

    fn summary(&self) -> &'static str {
        "adds how much the prediction of a label changes in the direction of most harm"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let help = "`smooth` holds the prediction of a `label` that q infers";
        let (name, label) = reader.label(help)?;
        reader.choice(&["by"])?;
        let call = reader.call("`vat(radius = 2)`")?;
        if call.name.text != "vat" {
            reader.unknown(&call.name, "smoothing", ["vat"]);
            return None;
        }
        let values = reader.context.arguments(&call, &VAT, "smoothing")?;
        let mut arguments = [0.0; 4];
        for ((to, value), argument) in arguments.iter_mut().zip(values).zip(&VAT) {
            let name = format!("{KEYWORD}.{}", argument.name);
            *to = reader.context.set_number(&name, argument, value);
        }
        reader.has_prediction(&name, label)?;
        let [radius, weight, step, rounds] = arguments;
        draft.objective.costs.push(Arc::new(Smooth {
            label,
            radius,
            step,
            rounds: rounds as usize,
            ramp: reader.ramp_to(weight, KEYWORD)?,
        }));
        Some(())
    }
}
