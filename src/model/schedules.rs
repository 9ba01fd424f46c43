//! Schedules over the epochs of a run: a [`Ramp`] for a weight, and a [`RateSchedule`] for the
//! learning rate. Times are in epochs, and may be fractional.

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
    /// The span of the line, for messages.
    pub span: Span,
}

impl Ramp {
    /// Whether the weight changes in training.
    pub fn changes(&self) -> bool {
        self.warmup > 0.0
    }

    /// The weight after `epoch` epochs of training.
    pub fn after(&self, epoch: f64) -> f64 {
        let progress = if self.changes() {
            (epoch / self.warmup).min(1.0)
        } else {
            1.0
        };
        self.from + (self.weight - self.from) * progress
    }
}

/// The quantity that a weight with a [`Ramp`] multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightTarget {
    /// The bound of labelled rows.
    LabelledBound,
    /// The terms of a variable that q infers.
    Terms(Id<Variable>),
    /// The cost with this keyword for this variable.
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
    /// How the rate decays.
    pub decay: Decay,
    /// The number of epochs over which the rate first rises linearly from 0; 0 for none.
    pub warmup: f64,
}

/// How the learning rate decays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// The rate is constant.
    Constant,
    /// `step(every = 200, factor = 0.75, floor = 3e-5)`: the rate is multiplied by `factor` every
    /// `every` epochs, but never falls below `floor`.
    Step {
        /// The number of epochs between two multiplications.
        every: f64,
        /// The factor of each multiplication.
        factor: f64,
        /// The lowest rate.
        floor: f64,
    },
    /// `cosine(floor = 0)`: half a cosine from the rate to `floor` over all epochs.
    Cosine {
        /// The rate at the end.
        floor: f64,
    },
}

impl RateSchedule {
    /// The rate of a step that begins at epoch `start` and ends at epoch `end`, in a run of
    /// `epochs` epochs, for an optimiser with rate `base`. The warm-up uses the end of the step, so
    /// that the rate of the first step is not 0.
    pub fn rate(&self, base: f64, start: f64, end: f64, epochs: f64) -> f64 {
        let decayed = match self.decay {
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
            decayed * end / self.warmup
        } else {
            decayed
        }
    }
}
