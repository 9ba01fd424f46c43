//! From terms over factors to operations on named axes.
//!
//! Each case is lowered on its own: its observed variables are inputs, its latents samples, a
//! summed variable a class axis. Cases share parameters by name. Running averages move from case
//! to case in turn.
//!
//! From the bottom up, each file imports only those above it:
//! - `builder`: the graph and the settings of one pass over the networks;
//! - `network`, `mixture`: layers and heads on values that are given;
//! - `case`: the values, heads and densities of one case, each made once;
//! - `entry`, `weight`, `choice`, `term`: a bound as named numbers per row;
//! - `cost`: a case as the costs of the objective see it, each of which lowers itself
//!   ([`CostTerm::lower`](crate::model::CostTerm::lower));
//! - `objective`, `evaluate`, `generate`, `update`: the programs of a run.

mod builder;
mod network;
mod mixture;
mod case;
mod entry;
mod weight;
mod choice;
mod term;
mod cost;
mod objective;
mod evaluate;
mod generate;
mod update;

pub use evaluate::{Evaluate, evaluate};
pub use generate::generate;
pub use objective::train;
pub use update::update;

/// What networks do in training, for `dgc bound` and in evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Batch norm by the batch's statistics, and not by the running averages.
    pub batch_statistics: bool,
    /// Dropout and noise are on.
    pub noisy: bool,
    /// Greys of binary data are drawn as Bernoulli samples.
    pub binarise: bool,
}

impl Mode {
    /// Training: batch statistics, dropout, binarised greys.
    pub const TRAIN: Mode = Mode {
        batch_statistics: true,
        noisy: true,
        binarise: true,
    };
    /// `dgc bound`: training's statistics, nothing random but the given noise.
    pub const BOUND: Mode = Mode {
        batch_statistics: true,
        noisy: false,
        binarise: false,
    };
    /// Evaluation: running averages, nothing random in networks, greys as they are.
    pub const EVALUATE: Mode = Mode {
        batch_statistics: false,
        noisy: false,
        binarise: false,
    };
}
