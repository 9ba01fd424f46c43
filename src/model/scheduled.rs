//! The weights that change in training, and the model for the steady-state phase.

use super::{Model, Objective, Ramp, Variable, Weight, WeightTarget};
use crate::{id::Id, names::InputName};

/// An input of a training step that changes over the epochs.
#[derive(Clone, Copy, Debug)]
pub enum Scheduled {
    /// A weight.
    Ramp(Ramp),
    /// The changing number of the estimator at this position of [`Objective::drawn`].
    Estimator(usize),
}

impl Objective {
    /// Every weight with a ramp, whether or not it changes.
    pub fn ramps(&self) -> impl Iterator<Item = (WeightTarget, Ramp)> {
        let labelled = self
            .labelled
            .map(|ramp| (WeightTarget::LabelledBound, ramp));
        let terms = self
            .betas
            .iter()
            .map(|beta| (WeightTarget::Terms(beta.variable), beta.ramp));
        let costs = self.costs.iter().filter_map(|cost| {
            let target = WeightTarget::Cost {
                keyword: cost.keyword(),
                subject: cost.subject(),
            };
            Some((target, cost.ramp()?))
        });
        labelled.into_iter().chain(terms).chain(costs)
    }
}

impl Model {
    /// The inputs of a training step that change over the epochs: `labelled`, `beta.VARIABLE`,
    /// `COST.VARIABLE` and an estimator's `NUMBER.VARIABLE`.
    pub fn scheduled(&self) -> Vec<(String, Scheduled)> {
        let objective = &self.objective;
        let ramps = objective.ramps().filter(|(_, ramp)| ramp.changes());
        let ramps = ramps
            .map(|(target, ramp)| (self.weight_input(target).to_string(), Scheduled::Ramp(ramp)));
        let drawn = objective.drawn.iter().enumerate();
        let drawn = drawn.filter_map(|(index, discrete)| {
            let (number, _) = discrete.estimator.changing(&discrete.arguments, 0.0)?;
            let name = &self.variables[discrete.variable.index()].name;
            let input = InputName::number(number, name).to_string();
            Some((input, Scheduled::Estimator(index)))
        });
        ramps.chain(drawn).collect()
    }

    /// The value of a scheduled input after `epoch` epochs.
    pub fn scheduled_value(&self, input: Scheduled, epoch: f64) -> f64 {
        match input {
            Scheduled::Ramp(ramp) => ramp.after(epoch),
            Scheduled::Estimator(index) => {
                let discrete = &self.objective.drawn[index];
                let changing = discrete.estimator.changing(&discrete.arguments, epoch);
                changing
                    .expect("an estimator's number changes at every epoch or at none")
                    .1
            }
        }
    }

    /// The input of a training step for a weight that changes.
    pub fn weight_input(&self, target: WeightTarget) -> InputName {
        let name = |id: Id<Variable>| &self.variables[id.index()].name;
        match target {
            WeightTarget::LabelledBound => InputName::LabelledWeight,
            WeightTarget::Terms(variable) => InputName::number("beta", name(variable)),
            WeightTarget::Cost { keyword, subject } => InputName::number(keyword, name(subject)),
        }
    }

    /// The weights of costs that may depend on the number of training rows, each with its input of
    /// a training step. A constant weight has no such input.
    pub fn population_weights(&self) -> impl Iterator<Item = (InputName, &Weight)> {
        self.objective.costs.iter().filter_map(|cost| {
            let (kind, weight) = cost.population_weight()?;
            let name = &self.variables[cost.subject().index()].name;
            Some((InputName::number(kind, name), weight))
        })
    }

    /// The input of a training step with a weight for each class of a label.
    pub fn class_weight_input(&self, label: Id<Variable>) -> InputName {
        InputName::number("class_weight", &self.variables[label.index()].name)
    }

    /// The labels whose classes have weights in costs, each with its input of a training step.
    pub fn class_weights(&self) -> impl Iterator<Item = (InputName, &Variable)> {
        let costs = self.objective.costs.iter();
        costs.filter(|cost| cost.weighs_classes()).map(|cost| {
            let label = cost.subject();
            (
                self.class_weight_input(label),
                &self.variables[label.index()],
            )
        })
    }

    /// The steady-state phase of training. Some weights fall to 0. Returns the first epoch in which
    /// all of them are 0, and the model without these costs, and with a weight of 0 for the bound of
    /// labelled rows if it fell. From that epoch on, its steps update the parameters exactly as those
    /// of the whole model, and are faster. `None` if no weight falls to 0.
    pub fn steady_state(&self) -> Option<(u64, Model)> {
        let vanishing = |ramp: Option<Ramp>| ramp.filter(|ramp| ramp.weight == 0.0);
        let costs = self.objective.costs.iter().map(|cost| cost.ramp());
        let labelled = self.objective.labelled.filter(Ramp::changes);
        let start = costs
            .chain([labelled])
            .filter_map(vanishing)
            .map(|ramp| ramp.warmup.ceil() as u64)
            .max()?;
        let mut model = self.clone();
        let objective = &mut model.objective;
        objective
            .costs
            .retain(|cost| vanishing(cost.ramp()).is_none());
        if let Some(ramp) = vanishing(objective.labelled) {
            objective.labelled = Some(Ramp {
                warmup: 0.0,
                from: 0.0,
                ..ramp
            });
        }
        Some((start, model))
    }
}
