//! Weights that change over the first epochs.

use super::{
    Factor, Model, Objective, Role, Variable,
    check::Checker,
    reader::{Reader, real},
};
use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    names::InputName,
};

/// `1 warmup 10 from 3`: a weight that goes linearly from `from` to `weight` over `warmup` epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    pub weight: f64,
    pub warmup: f64,
    pub from: f64,
    /// The line.
    pub span: Span,
}

impl Ramp {
    pub fn changes(&self) -> bool {
        self.warmup > 0.0
    }

    /// The weight after so many epochs.
    pub fn after(&self, epoch: f64) -> f64 {
        let gone = if self.changes() {
            (epoch / self.warmup).min(1.0)
        } else {
            1.0
        };
        self.from + (self.weight - self.from) * gone
    }
}

/// What a weight that may change is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighed {
    /// The bound of labelled rows.
    Labelled,
    /// The terms of what q infers.
    Terms(Id<Variable>),
    /// How a label's prediction changes where the data do.
    Smoothness(Id<Variable>),
}

impl Objective {
    /// Every weight that may change.
    pub fn ramps(&self) -> impl Iterator<Item = (Weighed, Ramp)> {
        let labelled = self.labelled.map(|ramp| (Weighed::Labelled, ramp));
        let terms = self
            .betas
            .iter()
            .map(|beta| (Weighed::Terms(beta.variable), beta.ramp));
        let smoothness = self
            .smooth
            .iter()
            .map(|smooth| (Weighed::Smoothness(smooth.label), smooth.ramp));
        labelled.into_iter().chain(terms).chain(smoothness)
    }
}

impl Model {
    /// The input of a step that holds such a weight, if it changes.
    pub fn input_of(&self, weighed: Weighed) -> InputName {
        let name = |id: Id<Variable>| &self.variables[id.index()].name;
        match weighed {
            Weighed::Labelled => InputName::LabelledWeight,
            Weighed::Terms(variable) => InputName::number("beta", name(variable)),
            Weighed::Smoothness(label) => InputName::number("smooth", name(label)),
        }
    }
}

impl Reader<'_, '_, '_> {
    /// The weight of the labelled rows' bound.
    pub(super) fn labelled(&mut self, p: &[Factor]) -> Option<Ramp> {
        let has_label = self
            .checker
            .variables
            .iter()
            .any(|variable| variable.role == Role::Label);
        if !has_label || p.is_empty() {
            let (title, help) = match has_label {
                false => (
                    "there are no labelled rows to weigh",
                    "declare a variable as `label`, or remove the line",
                ),
                true => (
                    "a classifier has no bound to weigh",
                    "`classify y weight …` is the weight of labelled rows here",
                ),
            };
            self.checker
                .report(Diagnostic::error(self.setting.span, title).help(help));
            return None;
        }
        self.ramp("weight", "labelled")
    }

    /// `1 warmup 10 from 3`; `--set` reaches the numbers as `NAME.SUBJECT`, `warmup.SUBJECT` and
    /// `from.SUBJECT`.
    pub(super) fn ramp(&mut self, name: &'static str, subject: &str) -> Option<Ramp> {
        let weight = self.number_of(real(name, 0.0, 1e6), subject)?;
        self.ramp_to(weight, subject)
    }

    /// What follows the weight.
    pub(super) fn ramp_to(&mut self, weight: f64, subject: &str) -> Option<Ramp> {
        let (mut warmup, mut from) = (0.0, 0.0);
        if self.keyword("warmup")? {
            warmup = self.number_of(real("warmup", 0.0, 1e6), subject)?;
            from = if self.keyword("from")? {
                self.number_of(real("from", 0.0, 1e6), subject)?
            } else {
                0.0
            };
        }
        Some(Ramp {
            weight,
            warmup,
            from,
            span: self.setting.span,
        })
    }
}

/// Warns of weights that would still change when the run ends.
pub(super) fn check(checker: &mut Checker, objective: &Objective, epochs: usize) {
    for (_, ramp) in objective
        .ramps()
        .filter(|(_, ramp)| ramp.warmup > epochs as f64)
    {
        let label = format!("{} epochs of warm-up, {epochs} of training", ramp.warmup);
        checker.report(
            Diagnostic::warning(ramp.span, "the warm-up is longer than the run").label(label),
        );
    }
}
