//! Lowers bounds, which are terms over factors, to graphs of operations on named axes.
//!
//! Each case is lowered separately:
//! - an observed variable becomes an input;
//! - a latent becomes samples, along the axis `sample`;
//! - a class variable that is summed over becomes an axis of its own, with one position per class.
//!
//! Cases share parameters by name. From edition 2 on, their rows pass together through the networks
//! that do not depend on a label. Of the other networks, only the last case that has rows updates the
//! running averages, because evaluation infers the same variables as that case.
//!
//! Each file imports only files that stand above it in this list:
//! - `row_noise`: noise of evaluation, which belongs to a row's values;
//! - `builder`: the graph and the settings of one pass over the networks;
//! - `network`, `mixture`: layers, and heads of distributions;
//! - `joint`: the networks that the rows of all cases pass through together;
//! - `case`: the values, heads and densities of a case, each of which is lowered once;
//! - `known`: labels that some rows of a case have and others lack;
//! - `share`: gives a case its part of the joint networks;
//! - `entry`, `weight`, `choice`, `term`: a bound as named numbers per row;
//! - `cost`: implements [`CostContext`](crate::model::CostContext) for a case, through which a cost
//!   of the objective lowers itself ([`CostTerm::lower`](crate::model::CostTerm::lower));
//! - `objective`, `evaluate`, `reconstruct`, `predictive`, `generate`, `update`: the programs of a run;
//! - `freeze`: parameters that training does not change.

mod row_noise;
mod builder;
mod network;
mod mixture;
mod joint;
mod case;
mod known;
mod share;
mod entry;
mod weight;
mod choice;
mod term;
mod cost;
mod objective;
mod evaluate;
mod reconstruct;
mod predictive;
mod generate;
mod update;
mod freeze;

pub use evaluate::{Evaluate, Outputs, evaluate};
pub use freeze::freeze;
pub use generate::generate;
pub use objective::train;
pub use predictive::predictive;
pub use reconstruct::{Given, reconstruct};
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
    /// Values of q are drawn. Otherwise each is the mean of its distribution.
    pub draws: bool,
    /// Noise belongs to a row's values, not to its place among the rows.
    pub keyed: bool,
}

impl Mode {
    /// Training: batch statistics, dropout and binarised data.
    pub const TRAIN: Mode = Mode {
        batch_statistics: true,
        noisy: true,
        binarise: true,
        draws: true,
        keyed: false,
    };
    /// `dgc bound`: batch statistics, and no randomness but the given noise.
    pub const BOUND: Mode = Mode {
        batch_statistics: true,
        noisy: false,
        binarise: false,
        draws: true,
        keyed: false,
    };
    /// Evaluation: running averages, no randomness in networks, data as they are, and noise by the
    /// rows' values.
    pub const EVALUATE: Mode = Mode {
        batch_statistics: false,
        noisy: false,
        binarise: false,
        draws: true,
        keyed: true,
    };
    /// Drawing data: as evaluation, but each row is a draw of its own.
    pub const GENERATE: Mode = Mode {
        keyed: false,
        ..Mode::EVALUATE
    };

    /// The same without randomness: data as they are, values of q at their means, and neither noise nor
    /// dropout.
    pub(super) const fn clean(self) -> Mode {
        Mode {
            noisy: false,
            binarise: false,
            draws: false,
            ..self
        }
    }
}
