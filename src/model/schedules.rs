//! What changes over the epochs of a run: weights, by a [`Ramp`], and the learning rate, by a
//! [`RateSchedule`]. Times are in epochs, and need not be whole.

use super::Variable;
use crate::{diagnostic::Span, id::Id};

/// `1 warmup 10 from 3`: a weight with a linear warm-up. It is `from` when training begins, moves
/// linearly to `weight` over the first `warmup` epochs, and stays there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// The weight after the warm-up.
    pub weight: f64,
    /// The length of the warm-up, in epochs; 0 for a weight that never changes.
    pub warmup: f64,
    /// The weight at the start.
    pub from: f64,
    /// The line, for messages.
    pub span: Span,
}

impl Ramp {
    /// Whether the weight changes in training.
    pub fn changes(&self) -> bool {
        self.warmup > 0.0
    }

    /// The weight after that many epochs of training.
    pub fn after(&self, epoch: f64) -> f64 {
        let progress = if self.changes() {
            (epoch / self.warmup).min(1.0)
        } else {
            1.0
        };
        self.from + (self.weight - self.from) * progress
    }
}

/// What a weight with a [`Ramp`] multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightTarget {
    /// The bound of labelled rows.
    LabelledBound,
    /// The terms of a variable that q infers.
    Terms(Id<Variable>),
    /// The cost of this keyword about this variable.
    Cost {
        /// [`CostTerm::keyword`](super::CostTerm::keyword).
        keyword: &'static str,
        /// [`CostTerm::subject`](super::CostTerm::subject).
        subject: Id<Variable>,
    },
}

/// How the learning rate changes in training: `cosine warmup 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSchedule {
    /// How the rate falls.
    pub decay: Decay,
    /// Over how many epochs the rate first rises linearly from 0; 0 for none.
    pub warmup: f64,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// `step(every = 200, factor = 0.75, floor = 3e-5)`: × factor every so many epochs, the rate
    /// never under `floor`.
    Step {
        /// Epochs between two falls.
        every: f64,
        /// What the rate is multiplied by.
        factor: f64,
        /// The least rate.
        floor: f64,
    },
    /// `cosine(floor = 0)`: half a cosine from the rate to `floor` over all epochs.
    Cosine {
        /// The rate at the end.
        floor: f64,
    },
}

impl RateSchedule {
    /// The rate of a step that begins at epoch `start` and ends at `end`, in a run of `epochs`, by
    /// an optimiser of rate `base`. The rise counts the step's end, so that the first step is not
    /// lost to a rate of 0.
    pub fn rate(&self, base: f64, start: f64, end: f64, epochs: f64) -> f64 {
        let fallen = match self.decay {
            Decay::Constant => base,
            Decay::Step {
                every,
                factor,
                floor,
            } => (base * factor.powf((start / every).floor())).max(floor.min(base)),
            Decay::Cosine { floor } => {
                let floor = floor.min(base);
                let part = (start / epochs.max(1.0)).min(1.0);
                floor + (base - floor) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
        };
        if end < self.warmup {
            fallen * end / self.warmup
        } else {
            fallen
        }
    }
}
