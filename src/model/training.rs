//! How a model is trained: the lines of `train`.

use super::schedules::RateSchedule;
use crate::optimizer::Optimizer;

/// The settings of `train`.
#[derive(Clone, Debug)]
pub struct TrainSettings {
    /// Rows of a step.
    pub batch: Batch,
    /// What moves the parameters.
    pub optimizer: &'static dyn Optimizer,
    /// In the order of [`Optimizer::arguments`], defaults filled in.
    pub optimizer_arguments: Vec<f64>,
    /// How the learning rate changes.
    pub schedule: RateSchedule,
    /// `clip norm 5`: the gradient's total norm is scaled to at most this, before `clip value`.
    pub clip_norm: Option<f64>,
    /// `clip value 1`: each element of the gradient is clamped to ± this.
    pub clip_value: Option<f64>,
    /// `prior weights normal(0, 1)`: standard deviation of the prior on weights (not biases), per
    /// training row.
    pub weight_prior: Option<f64>,
    /// How parameters start.
    pub initialize: Initialize,
    /// Passes over the training rows.
    pub epochs: usize,
}

/// Rows per step of each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// A model without labels.
    All(usize),
    /// A model with labels. Not both are 0.
    Cases {
        /// Rows with a label.
        labelled: usize,
        /// Rows whose labels are hidden.
        unlabelled: usize,
    },
}

/// How weights start; biases start at 0 but for `Glorot`.
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
