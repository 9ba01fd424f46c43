//! A checked model, as data: two acyclic graphs over typed variables with every shape known, what
//! the model learns by, and how it is trained.
//!
//! Only `check` makes a [`Model`] from text. What holds of every one is written on its fields, and
//! later stages rely on it. Nothing here reads or checks text; the module prints a model, draws it,
//! and says which of its numbers change in training.

mod graph;
mod weight;
mod schedules;
mod training;
mod print;
mod draw;
mod cost;
mod objective;
mod scheduled;
mod stack;

pub use cost::{CostContext, CostRows, CostTerm, Notation, feature_axis_of};
pub use draw::{to_dot, to_svg};
pub use graph::{
    Components, Factor, FactorKind, Head, Heads, LayerUse, Mixture, Network, Role, Side, Variable,
    factor_of,
};
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
    /// As declared.
    pub name: String,
    /// The name that places in messages and comments are given with, such as `adgm.dgm`.
    pub file: String,
    /// The text of the file, for messages that show a place.
    pub source: String,
    /// The sizes and settings that were changed, as `--set` names them; the last of a name counts.
    pub sets: Vec<(String, String)>,
    /// In the order of their declarations, deterministic nodes last.
    pub variables: Vec<Variable>,
    /// The factors of `p`, parents before children.
    pub generative: Vec<Factor>,
    /// The factors of `q`, parents before children. Holds one for each latent.
    pub inference: Vec<Factor>,
    /// What it learns by.
    pub objective: Objective,
    /// How it is trained.
    pub train: TrainSettings,
    /// Every size and setting after `--set`, as `name = value`, in the file's order.
    pub settings: Vec<(String, String)>,
    /// The models whose inference gives data variables their values; none as a file is checked.
    pub upstream: Vec<Upstream>,
}

impl Model {
    /// The variables with that role, in the order of their declarations.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = Id<Variable>> + '_ {
        (0..self.variables.len())
            .map(Id::new)
            .filter(move |id: &Id<Variable>| self.variables[id.index()].role == role)
    }

    /// The variables that are observed on some rows.
    pub fn labels(&self) -> impl Iterator<Item = &Variable> {
        self.variables
            .iter()
            .filter(|variable| variable.role == Role::Label)
    }
}
