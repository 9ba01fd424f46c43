//! A checked model, as data: two acyclic graphs over typed variables with known shapes, the
//! objective, and the training settings.
//!
//! Only `check` builds a [`Model`] from text. The docs of its fields state the invariants of every
//! model, on which later stages rely. This module does not read or check text. It prints a model,
//! draws it, and lists its numbers that change in training.

mod edition;
mod graph;
mod weight;
mod schedules;
mod training;
mod print;
mod draw;
mod cost;
mod objective;
mod joint;
mod scheduled;
mod stack;

pub use cost::{CostContext, CostRows, CostTerm, Notation, feature_axis_of};
pub use draw::{to_dot, to_svg};
pub use edition::Edition;
pub use graph::{
    Components, Factor, FactorKind, Head, Heads, LayerUse, Mixture, Network, Probabilities, Role,
    Side, Variable, factor_of,
};
pub use joint::SingleRow;
pub use objective::{BoundKind, Discrete, Objective, TermWeight};
pub use print::{factor_text, print};
pub use scheduled::Scheduled;
pub use schedules::{Decay, Ramp, RateSchedule, WeightTarget};
pub use stack::{Upstream, scope};
pub use training::{Batch, Initialize, TrainSettings};
pub use weight::Weight;

use crate::id::Id;

/// A model whose graphs, shapes and settings have been checked.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name after `model`.
    pub name: String,
    /// The name of the file in messages and comments, such as `adgm.dgm`.
    pub file: String,
    /// The text of the file, for messages that show a place.
    pub source: String,
    /// The edition of the language that the file is read in.
    pub edition: Edition,
    /// The overrides of `--set`, as name and value; the last value of a name counts.
    pub sets: Vec<(String, String)>,
    /// The variables in the order of their declarations; deterministic nodes come last.
    pub variables: Vec<Variable>,
    /// The factors of `p`, parents before children.
    pub generative: Vec<Factor>,
    /// The factors of `q`, parents before children, among them one for each latent.
    pub inference: Vec<Factor>,
    /// The objective of training.
    pub objective: Objective,
    /// The settings of training.
    pub train: TrainSettings,
    /// Every size and setting with its value after `--set`, in source order.
    pub settings: Vec<(String, String)>,
    /// The models that infer the values of data variables; none right after the check of a file.
    pub upstream: Vec<Upstream>,
    /// Patterns of the names of parameters that training does not change, such as `p.*`; none right
    /// after the check of a file.
    pub frozen: Vec<String>,
}

impl Model {
    /// The variables with that role, in the order of their declarations.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = Id<Variable>> + '_ {
        (0..self.variables.len())
            .map(Id::new)
            .filter(move |id: &Id<Variable>| self.variables[id.index()].role == role)
    }

    /// The variables that every row has: data, then given ones.
    pub fn always_observed(&self) -> Vec<Id<Variable>> {
        let data = self.with_role(Role::Data);
        data.chain(self.with_role(Role::Given)).collect()
    }

    /// Whether training leaves the parameter of this name as it is: the last pattern that matches it
    /// decides, and one that begins with `!` excepts it. In a pattern, `*` stands for any text and `?` for
    /// one letter.
    pub fn is_frozen(&self, parameter: &str) -> bool {
        let decides = |pattern: &String| {
            let (text, freezes) = match pattern.strip_prefix('!') {
                Some(text) => (text, false),
                None => (pattern.as_str(), true),
            };
            let matches = glob::Pattern::new(text).is_ok_and(|parsed| parsed.matches(parameter));
            matches.then_some(freezes)
        };
        let mut patterns = self.frozen.iter().rev();
        patterns.find_map(decides).unwrap_or(false)
    }

    /// The weights of rows in training, if the model has them.
    pub fn row_weight(&self) -> Option<&Variable> {
        let mut variables = self.variables.iter();
        variables.find(|variable| variable.role == Role::Weight)
    }

    /// The labels, which are observed on some rows.
    pub fn labels(&self) -> impl Iterator<Item = &Variable> {
        self.variables
            .iter()
            .filter(|variable| variable.role == Role::Label)
    }
}
