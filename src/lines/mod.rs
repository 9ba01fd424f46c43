//! The lines of `objective` and `train`: a registry, one file for each line.
//!
//! A line is a keyword and its values, such as `beta z 0.5 warmup 10`. Each keyword has an
//! implementation of the trait [`Line`], in the file of that name, except that `match` is in
//! `matching.rs`, and `relax`, `score` and `top` are in `choice.rs`. The implementation holds
//! everything specific to the keyword: the values that may follow it, the names for `--set`, the
//! conditions on other lines and on the graphs, an example for messages, and a summary for `dgc
//! list`. `check` finds the keyword of each line in [`LINES`] and has no code for single keywords.
//! A keyword that is not in the registry is an error.
//!
//! `check` collects the values of the lines in a [`Draft`], in three steps:
//!
//! 1. [`Line::parse`], for each line in the file, in source order;
//! 2. [`Line::set`], for each entry in the registry, whether or not the file has such a line:
//!    `--set samples=5` works without a `samples` line;
//! 3. [`Line::check`], for each entry in the registry: the conditions on the complete draft.
//!
//! Entries with [`Line::is_read_first`], such as `epochs`, go through steps 1 and 2 before all
//! others, because the numbers of other lines may use them.
//!
//! A line that adds a cost to the loss, as `classify` does, pushes a value that implements
//! [`CostTerm`](crate::model::CostTerm) to `objective.costs`. The cost prints itself, and lowers
//! itself through [`CostContext`](crate::model::CostContext), which the lowering implements. Later
//! stages treat all costs the same way, so a new cost is one file and one registry entry.
//!
//! `check` depends on this module, not the other way round: a line reads names, numbers and
//! networks through the trait [`LineContext`], which the checker implements.
//!
//! To add a line, see `docs/contributing/objective-line.md`.

mod context;
mod closed_form;
mod reader;
mod analytic;
mod average;
mod batch;
mod beta;
mod bound;
mod choice;
mod classify;
mod clip;
mod epochs;
mod free_bits;
mod inform;
mod initialize;
mod labelled;
mod matching;
mod optimizer;
mod prior;
mod regress;
mod sampled;
mod samples;
mod schedule;
mod smooth;
mod sum;

pub use context::LineContext;
pub use reader::{RampOwner, Reader};

use crate::{
    diagnostic::Span,
    id::Id,
    model::{
        Batch, BoundKind, Decay, Initialize, Objective, RateSchedule, TrainSettings, Variable,
    },
};
use std::fmt::Debug;

/// The block of a model file that contains a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// What training minimises.
    Objective,
    /// How training runs.
    Train,
}

impl Block {
    /// As written in a model.
    pub fn keyword(self) -> &'static str {
        match self {
            Block::Objective => "objective",
            Block::Train => "train",
        }
    }

    /// The block with that keyword.
    pub fn find(keyword: &str) -> Option<Block> {
        [Block::Objective, Block::Train]
            .into_iter()
            .find(|block| block.keyword() == keyword)
    }
}

/// The settings of a model while its lines are read: the defaults, and the values of the lines so
/// far.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The settings of `objective`.
    pub objective: Objective,
    /// The settings of `train`.
    pub training: TrainSettings,
    /// The variables, by name, whose lines define how a class is handled ([`Line::treats_class`]).
    /// Includes those of lines with a mistake, so that only the mistake itself is reported.
    pub treated: Vec<String>,
    /// The `sampled` lines.
    pub sampled: Vec<Sampled>,
}

/// A `sampled` line.
#[derive(Clone, Copy, Debug)]
pub struct Sampled {
    /// The variable whose KL term is sampled; `None` means all variables.
    pub variable: Option<Id<Variable>>,
    /// The span of the line.
    pub span: Span,
}

impl Draft {
    /// The settings of a model without any lines. `labels`: whether the model has a label.
    pub fn new(labels: bool) -> Self {
        let adam = optimizer::default();
        let defaults = adam.arguments().iter().map(|argument| argument.default);
        Draft {
            objective: Objective {
                samples: 1,
                bound: BoundKind::Evidence,
                sums: Vec::new(),
                drawn: Vec::new(),
                costs: Vec::new(),
                labelled: None,
                betas: Vec::new(),
                free_bits: Vec::new(),
                analytic: Vec::new(),
            },
            training: TrainSettings {
                batch: if labels {
                    Batch::Cases {
                        labelled: 100,
                        unlabelled: 100,
                        balanced: false,
                    }
                } else {
                    Batch::All(100)
                },
                optimizer: adam,
                optimizer_arguments: defaults.flatten().collect(),
                schedule: RateSchedule {
                    decay: Decay::Constant,
                    warmup: 0.0,
                },
                clip_norm: None,
                clip_value: None,
                weight_prior: None,
                average: None,
                initialize: Initialize::Glorot,
                epochs: 100,
            },
            treated: Vec::new(),
            sampled: Vec::new(),
        }
    }

    /// Whether a line asks for the KL term of a variable by sampling.
    pub fn is_sampled(&self, variable: Id<Variable>) -> bool {
        let mut lines = self.sampled.iter();
        lines.any(|line| line.variable.is_none_or(|sampled| sampled == variable))
    }
}

/// A kind of line.
pub trait Line: Sync + Debug {
    /// The first word of the line: `beta`. It is unique among all lines.
    fn keyword(&self) -> &'static str;

    /// The block that contains the line.
    fn block(&self) -> Block;

    /// An example of the line for messages. `labels`: whether the model has a label.
    fn example(&self, labels: bool) -> &'static str;

    /// A phrase that describes the line, for `dgc list`.
    fn summary(&self) -> &'static str;

    /// Whether a file may have several such lines. They differ in the word after the keyword:
    /// `beta z` and `beta y`.
    fn repeats(&self) -> bool;

    /// Whether the line is about the bound. A classifier has no bound, and rejects such lines.
    fn is_about_bound(&self) -> bool {
        false
    }

    /// Whether the line defines how its first word, a label or a class latent, is handled where it
    /// is not observed. Each such variable needs one such line.
    fn treats_class(&self) -> bool {
        false
    }

    /// Whether the line is parsed, and its [`Line::set`] called, before all other lines, because
    /// they may use its number in arithmetic.
    fn is_read_first(&self) -> bool {
        false
    }

    /// The names without a dot that `--set` accepts for this line. No size may have such a name.
    fn set_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Reads the values after the keyword. Reports a mistake, and then returns `None`; the methods
    /// of the reader do both. A diagnostic without a help text gets [`Line::example`] as its help.
    /// The caller reports values that are left over.
    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()>;

    /// Completes the draft after all lines are parsed: applies `--set` to the numbers that it may
    /// change even without the line, and adds defaults that depend on other lines.
    fn set(&self, _context: &mut dyn LineContext, _draft: &mut Draft) {}

    /// Reports conflicts between the lines of the draft, or between them and the graphs.
    fn check(&self, _context: &mut dyn LineContext, _draft: &Draft) {}
}

/// Every line, in the order of `dgc list`. Costs are lowered and printed in this order, and `--set`
/// is resolved in this order.
pub const LINES: &[&dyn Line] = &[
    &samples::Samples,
    &bound::BoundLine,
    &sum::Sum,
    &choice::RELAX,
    &choice::SCORE,
    &choice::TOP,
    &classify::ClassifyLine,
    &regress::RegressLine,
    &smooth::SmoothLine,
    &inform::InformLine,
    &matching::MatchLine,
    &labelled::Labelled,
    &beta::BetaLine,
    &free_bits::FreeBits,
    &analytic::Analytic,
    &sampled::SampledLine,
    &optimizer::OptimizerLine,
    &batch::BatchLine,
    &schedule::ScheduleLine,
    &clip::Clip,
    &prior::Prior,
    &average::Average,
    &initialize::InitializeLine,
    &epochs::Epochs,
];

/// The line with that keyword in that block.
pub fn find(block: Block, keyword: &str) -> Option<&'static dyn Line> {
    in_block(block).find(|line| line.keyword() == keyword)
}

/// The lines of a block.
pub fn in_block(block: Block) -> impl Iterator<Item = &'static dyn Line> {
    LINES
        .iter()
        .copied()
        .filter(move |line| line.block() == block)
}

/// The position of a keyword in the registry.
pub fn position(keyword: &str) -> Option<usize> {
    LINES.iter().position(|line| line.keyword() == keyword)
}
