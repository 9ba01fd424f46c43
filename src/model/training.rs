//! The training settings: the lines of `train`.

use super::schedules::RateSchedule;
use crate::optimizer::Optimizer;

/// The settings of `train`.
#[derive(Clone, Debug)]
pub struct TrainSettings {
    /// The rows of a training step.
    pub batch: Batch,
    /// The optimiser.
    pub optimizer: &'static dyn Optimizer,
    /// The arguments in the order of [`Optimizer::arguments`], with defaults filled in.
    pub optimizer_arguments: Vec<f64>,
    /// How the learning rate changes.
    pub schedule: RateSchedule,
    /// `clip norm 5`: the gradient's total norm is scaled to at most this, before `clip value`.
    pub clip_norm: Option<f64>,
    /// `clip value 1`: each element of the gradient is clamped to ± this.
    pub clip_value: Option<f64>,
    /// `prior weights normal(0, 1)`: the standard deviation of the prior on weights (not biases).
    /// Its gradient is divided by the number of training rows.
    pub weight_prior: Option<f64>,
    /// `average parameters 0.999`: the decay of the average of the parameters over the steps, with
    /// which the model is evaluated and used.
    pub average: Option<f64>,
    /// The initialisation of parameters.
    pub initialize: Initialize,
    /// The number of passes over the training rows.
    pub epochs: usize,
}

impl TrainSettings {
    /// The weight w of the parameters in their average after `step` steps, at least 1:
    /// average ← average + w (parameters − average). With w = (1 − decay) / (1 − decayˢᵗᵉᵖ), this is
    /// the exponential moving average without the bias towards its start (Kingma and Ba 2015,
    /// section 3). 1 without an average, which then is the parameters.
    pub fn average_weight(&self, step: u64) -> f64 {
        match self.average {
            None => 1.0,
            Some(decay) => (1.0 - decay) / (1.0 - decay.powf(step as f64)),
        }
    }
}

/// The number of rows of each case in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// A model without labels.
    All(usize),
    /// A model with labels. At least one number is above 0.
    Cases {
        /// The number of rows with a label.
        labelled: usize,
        /// The number of rows without a label.
        unlabelled: usize,
        /// Whether the labelled rows take the classes of the first label in turn.
        balanced: bool,
    },
}

/// The initialisation of weights. Biases start at 0, except with `Glorot`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialize {
    /// The ADGM authors' recipe: hidden weights Glorot normal with ReLU's gain, data and label
    /// heads with gain 1, latent heads and biases N(0, 0.001²).
    Glorot,
    /// He normal for hidden weights; heads as in `Glorot`.
    He,
    /// All weights N(0, s²).
    Normal(f64),
}
