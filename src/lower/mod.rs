//! Lowers bounds, which are terms over factors, to graphs of operations on named axes.
//!
//! Each case is lowered separately. Its observed variables become inputs, its latents samples, and a
//! variable that is summed over becomes a class axis. Cases share parameters by name. The last case that
//! has rows updates the running averages, since evaluation infers variables as it does.
//!
//! From the bottom up, each file imports only those above it:
//! - `builder`: the graph and the settings of one pass over the networks;
//! - `network`, `mixture`: layers, and heads of distributions;
//! - `case`: the values, heads and densities of a case, each of which is lowered once;
//! - `entry`, `weight`, `choice`, `term`: a bound as named numbers per row;
//! - `cost`: the view of a case that costs of the objective get to lower themselves
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

/// How networks run: in training, for `dgc bound` and in evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Batch norm uses the batch's statistics, not the running averages.
    pub batch_statistics: bool,
    /// Dropout and noise are on.
    pub noisy: bool,
    /// Grey values of binary data are replaced by Bernoulli samples.
    pub binarise: bool,
}

impl Mode {
    /// Training: batch statistics, dropout and binarised data.
    pub const TRAIN: Mode = Mode {
        batch_statistics: true,
        noisy: true,
        binarise: true,
    };
    /// `dgc bound`: batch statistics, and no randomness but the given noise.
    pub const BOUND: Mode = Mode {
        batch_statistics: true,
        noisy: false,
        binarise: false,
    };
    /// Evaluation: running averages, no randomness in networks, and data as they are.
    pub const EVALUATE: Mode = Mode {
        batch_statistics: false,
        noisy: false,
        binarise: false,
    };
}
