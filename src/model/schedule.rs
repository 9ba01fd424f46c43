//! How the learning rate changes: the line `schedule`.

use super::{
    network::arguments_of,
    reader::{Reader, real},
};
use crate::layer::Argument;

/// How the learning rate changes: how it falls, and over how many epochs it first rises linearly
/// from 0 (`cosine warmup 2`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub decay: Decay,
    pub warmup: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    Constant,
    /// `step(every = 200, factor = 0.75, floor = 3e-5)`: × factor every so many epochs, the rate
    /// never under `floor`.
    Step {
        every: f64,
        factor: f64,
        floor: f64,
    },
    /// `cosine(floor = 0)`: half a cosine from the rate to `floor` over all epochs.
    Cosine {
        floor: f64,
    },
}

impl Schedule {
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

    /// Takes what `--set` gives: of a number's range and what is written, the one that holds.
    pub(super) fn set(&mut self, set: &mut impl FnMut(Argument, f64) -> f64) {
        self.warmup = set(real("schedule.warmup", 0.0, 1e9), self.warmup);
        match &mut self.decay {
            Decay::Constant => {}
            Decay::Step {
                every,
                factor,
                floor,
            } => {
                *every = set(real("schedule.every", 1e-6, 1e9), *every);
                *factor = set(real("schedule.factor", 1e-9, 1.0), *factor);
                *floor = set(real("schedule.floor", 0.0, 1e3), *floor);
            }
            Decay::Cosine { floor } => *floor = set(real("schedule.floor", 0.0, 1e3), *floor),
        }
    }
}

impl Reader<'_, '_, '_> {
    pub fn schedule(&mut self) -> Option<Schedule> {
        let call = self.call("a schedule such as `cosine(floor = 0)`")?;
        let floor = Argument {
            default: Some(0.0),
            ..real("floor", 0.0, 1e3)
        };
        let mut warmup = 0.0;
        let decay = match call.name.text.as_str() {
            "constant" => Decay::Constant,
            "step" => {
                let arguments = [real("every", 1e-6, 1e9), real("factor", 1e-9, 1.0), floor];
                let values = arguments_of(self.checker, &call, &arguments, "schedule")?;
                Decay::Step {
                    every: values[0],
                    factor: values[1],
                    floor: values[2],
                }
            }
            "cosine" => Decay::Cosine {
                floor: arguments_of(self.checker, &call, &[floor], "schedule")?[0],
            },
            "warmup" => {
                let epochs = real("epochs", 0.0, 1e9);
                warmup = arguments_of(self.checker, &call, &[epochs], "schedule")?[0];
                Decay::Constant
            }
            _ => {
                self.unknown(
                    &call.name,
                    "schedule",
                    ["constant", "step", "cosine", "warmup"],
                );
                return None;
            }
        };
        if self.keyword("warmup")? {
            warmup = self.number(real("schedule.warmup", 0.0, 1e9))?;
        }
        Some(Schedule { decay, warmup })
    }
}
