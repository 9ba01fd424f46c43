//! The lines of `objective` and `train`: a registry, one file for each line.
//!
//! A line is a keyword and its values, such as `beta z 0.5 warmup 10`. Everything that is
//! particular to a keyword stands behind the trait [`Line`] in the file of that name: what may
//! follow the keyword, what `--set` reaches, what must hold between this line and the others or
//! the graphs, an example for messages, and a summary for `dgc list`. `check` walks a file's
//! blocks, finds each keyword in [`LINES`], and decides nothing by keyword itself. A keyword that
//! is not in the registry is an error.
//!
//! A line writes what it read into the [`Draft`], in three steps that `check` calls in this order:
//!
//! 1. [`Line::parse`], for each line that the file has, in the file's order;
//! 2. [`Line::set`], for each entry of the registry, whether or not the file has such a line:
//!    `--set samples=5` works without a line `samples`;
//! 3. [`Line::check`], for each entry of the registry: what must hold once everything is read.
//!
//! A line that adds a cost to the loss (`classify`, `smooth`, `inform`, `match`) puts a value that
//! implements [`CostTerm`](crate::model::CostTerm) into `objective.costs`. The cost says how it is
//! printed, and lowers itself through [`CostContext`](crate::model::CostContext), which the
//! lowering implements; later stages ask all costs alike, so that a new cost is one file and one
//! entry of the registry.
//!
//! The module stands below `check`, which depends on it: a line reads names, numbers and networks
//! through the trait [`LineContext`], which the checker implements.
//!
//! To add a line, see `docs/contributing/objective-line.md`.

mod context;
mod closed_form;
mod reader;
mod analytic;
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
mod samples;
mod schedule;
mod smooth;
mod sum;

pub use context::LineContext;
pub use reader::Reader;

use crate::model::{Batch, BoundKind, Decay, Initialize, Objective, RateSchedule, TrainSettings};
use std::fmt::Debug;

/// The block of a model file that a line stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// What a model learns by.
    Objective,
    /// How it is trained.
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

    /// The block of that keyword.
    pub fn find(keyword: &str) -> Option<Block> {
        [Block::Objective, Block::Train]
            .into_iter()
            .find(|block| block.keyword() == keyword)
    }
}

/// The settings of a model while its lines are read: the defaults, and what the lines so far say.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the lines of `objective` say.
    pub objective: Objective,
    /// What the lines of `train` say.
    pub training: TrainSettings,
    /// The first words of the lines that say how a class is treated ([`Line::treats_class`]). A
    /// line with a mistake counts: it says what is meant for its variable all the same.
    pub treated: Vec<String>,
}

impl Draft {
    /// What holds without any line. `labels`: whether the model has a label.
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
                initialize: Initialize::Glorot,
                epochs: 100,
            },
            treated: Vec::new(),
        }
    }
}

/// One kind of line.
pub trait Line: Sync + Debug {
    /// The word that the line begins with: `beta`. No two lines share one.
    fn keyword(&self) -> &'static str;

    /// The block that it stands in.
    fn block(&self) -> Block;

    /// The line as it may be written, for messages. `labels`: in a model with a label.
    fn example(&self, labels: bool) -> &'static str;

    /// What the line does, in a phrase.
    fn summary(&self) -> &'static str;

    /// Whether a file may have several, which differ in the word after the keyword: `beta z` and
    /// `beta y`.
    fn repeats(&self) -> bool;

    /// Whether the line is about the bound, so that it is refused in a classifier, which has none.
    fn is_about_bound(&self) -> bool {
        false
    }

    /// Whether the line says how its first word, a label or a class latent, is treated where it is
    /// not observed. Each such variable needs one.
    fn treats_class(&self) -> bool {
        false
    }

    /// Whether the line is read before the lines of all others, and its [`Line::set`] called then:
    /// its number is a name for their arithmetic.
    fn is_read_first(&self) -> bool {
        false
    }

    /// The names without a dot that `--set` reaches, which no size may have.
    fn set_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Reads the values behind the keyword. What is wrong is reported, and gives `None`; the
    /// reader's steps do both. A report without a help text gets [`Line::example`] as its help. The
    /// caller checks that nothing follows.
    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()>;

    /// Takes what `--set` gives for numbers that have a name even without the line.
    fn set(&self, _context: &mut dyn LineContext, _draft: &mut Draft) {}

    /// Reports what does not hold between the draft's lines, or between them and the graphs.
    fn check(&self, _context: &mut dyn LineContext, _draft: &Draft) {}
}

/// Every line, in the order in which `dgc list` shows them. The costs of an objective are lowered
/// and printed in this order too, and `--set` is resolved in it.
pub const LINES: &[&dyn Line] = &[
    &samples::Samples,
    &bound::BoundLine,
    &sum::Sum,
    &choice::RELAX,
    &choice::SCORE,
    &choice::TOP,
    &classify::ClassifyLine,
    &smooth::SmoothLine,
    &inform::InformLine,
    &matching::MatchLine,
    &labelled::Labelled,
    &beta::BetaLine,
    &free_bits::FreeBits,
    &analytic::Analytic,
    &optimizer::OptimizerLine,
    &batch::BatchLine,
    &schedule::ScheduleLine,
    &clip::Clip,
    &prior::Prior,
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
